(component
  (core module $m
    (memory (export "memory") 1)
    (func (export "activate") (result i32) (loop $again (br $again)) (unreachable)))
  (core instance $i (instantiate $m))
  (func $f (result (result (error string))) (canon lift (core func $i "activate") (memory (core memory $i "memory"))))
  (instance $api (export "activate" (func $f)))
  (export "registry:component/lifecycle@0.1.0" (instance $api)))
