;;@multiply 10000
(component
  (core module
    (func (local %i64 *50000%))))
