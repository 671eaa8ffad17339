(component
  (core module $m
    (memory (export "memory") 1)
    (func (export "check") (result i32) (loop $again (br $again)) (unreachable)))
  (core instance $i (instantiate $m))
  (func $f (result (result (error string))) (canon lift (core func $i "check") (memory (core memory $i "memory"))))
  (instance $api (export "check" (func $f)))
  (export "registry:component/health@0.1.0" (instance $api)))
