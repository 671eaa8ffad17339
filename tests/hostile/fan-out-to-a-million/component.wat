(component
  (import "hostile:fan-out/work" (instance $work (export "go" (func))))
  (core func $work (canon lower (func $work "go")))
  (core module $m
    (import "host" "work" (func $work))
    (func (export "go")
      (local $n i32)
      (loop $again
        (call $work)
        (br_if $again (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 1000000))))))
  (core instance $i (instantiate $m (with "host" (instance (export "work" (func $work))))))
  (func (export "go") (canon lift (core func $i "go"))))
