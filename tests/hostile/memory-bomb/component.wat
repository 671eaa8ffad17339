(component
  (core module $m
    (memory 1)
    (func (export "go")
      (loop $again
        (br_if $again (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
      (unreachable)))
  (core instance $i (instantiate $m))
  (func (export "go") (canon lift (core func $i "go"))))
