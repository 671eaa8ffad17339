(component
  (core module $m
    (memory 1)
    (func (export "go") (result i32)
      (local $n i32)
      (loop $again
        (drop (memory.grow (i32.const 65535)))
        (br_if $again (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 1000000))))
      (memory.size)))
  (core instance $i (instantiate $m))
  (func (export "go") (result u32) (canon lift (core func $i "go"))))
