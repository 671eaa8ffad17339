(component
  (core module $m
    (memory (export "memory") 512)
    (func (export "go") (result i32)
      (local $at i32)
      (local.set $at (i32.const 64))
      ;; Each element points at the same megabyte.
      (loop $more
        (i32.store (local.get $at) (i32.const 16777216))
        (i32.store offset=4 (local.get $at) (i32.const 1000000))
        (br_if $more (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 8))) (i32.const 8000064))))
      (i32.store (i32.const 0) (i32.const 64))
      (i32.store (i32.const 4) (i32.const 1000000))
      (i32.const 0)))
  (core instance $i (instantiate $m))
  (func (export "go") (result (list (list u8))) (canon lift (core func $i "go") (memory (core memory $i "memory")))))
