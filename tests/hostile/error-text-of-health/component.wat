(component
  (core module $m
    (memory (export "memory") 2)
    (data (i32.const 64) "\1b[31munwell\e2\80\ae")
    (func (export "check") (result i32)
      (i32.store8 (i32.const 0) (i32.const 1))
      (i32.store (i32.const 4) (i32.const 64))
      (i32.store (i32.const 8) (i32.const 14))
      (i32.const 0)))
  (core instance $i (instantiate $m))
  (func $f (result (result (error string))) (canon lift (core func $i "check") (memory (core memory $i "memory"))))
  (instance $api (export "check" (func $f)))
  (export "registry:component/health@0.1.0" (instance $api)))
