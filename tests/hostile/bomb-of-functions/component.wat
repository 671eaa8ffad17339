;;@multiply 1000000
(component
  (core module
    (func)))
