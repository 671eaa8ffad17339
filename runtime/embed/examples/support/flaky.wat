;; Fails on demand: by a trap, by work without end, by a hunger for memory.
(component
  (core module $m
    (memory (export "mem") 1)
    (func (export "fine") (result i32) (i32.const 7))
    (func $boom (export "boom") (unreachable))
    (func (export "spin") (loop $again (br $again)))
    (func (export "grow") (param i32)
      (if (i32.lt_s (memory.grow (local.get 0)) (i32.const 0)) (then (call $boom)))))
  (core instance $i (instantiate $m))
  (func (export "fine") (result u32) (canon lift (core func $i "fine")))
  (func (export "boom") (canon lift (core func $i "boom")))
  (func (export "spin") (canon lift (core func $i "spin")))
  (func (export "grow") (param "pages" u32) (canon lift (core func $i "grow"))))
