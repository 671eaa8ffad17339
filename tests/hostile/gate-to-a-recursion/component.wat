(component
  (import "hostile:gate-to-a-recursion/work" (instance $work (export "go" (func))))
  (core func $work (canon lower (func $work "go")))
  (core module $m
    (import "host" "work" (func $work))
    (func $down (param $left i32)
      (if (local.get $left)
        (then (call $down (i32.sub (local.get $left) (i32.const 1))))
        (else (call $work))))
    (func (export "go") (call $down (i32.const 7000))))
  (core instance $i (instantiate $m (with "host" (instance (export "work" (func $work))))))
  (func (export "go") (canon lift (core func $i "go"))))
