(component
  (core module $m
    (memory (export "memory") 2)
    (data (i32.const 64) "\1b[2J\1b]0;owned\07 \e2\80\ae desrever\0d\00\7f\c2\9b")
    (func (export "activate") (result i32)
      (i32.store8 (i32.const 0) (i32.const 1))
      (i32.store (i32.const 4) (i32.const 64))
      (i32.store (i32.const 8) (i32.const 36))
      (i32.const 0)))
  (core instance $i (instantiate $m))
  (func $f (result (result (error string))) (canon lift (core func $i "activate") (memory (core memory $i "memory"))))
  (instance $api (export "activate" (func $f)))
  (export "registry:component/lifecycle@0.1.0" (instance $api)))
