(component
  (import "wasi:http/types@0.2.0" (instance $host 
    (export "fields" (type $f (sub resource)))
    (export "[constructor]fields" (func (result (own $f)))))))
