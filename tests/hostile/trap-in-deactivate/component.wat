(component
  (core module $m
    (memory (export "memory") 1)
    (func (export "deactivate") (result i32) (unreachable)))
  (core instance $i (instantiate $m))
  (func $f (result (result (error string))) (canon lift (core func $i "deactivate") (memory (core memory $i "memory"))))
  (instance $api (export "deactivate" (func $f)))
  (export "registry:component/lifecycle@0.1.0" (instance $api)))
