(component
  (core module $m
    (memory 512)
    (func (export "go")
      (loop $again
        (memory.copy (i32.const 0) (i32.const 16777216) (i32.const 16777216))
        (memory.copy (i32.const 1) (i32.const 0) (i32.const 33554431))
        (br $again))))
  (core instance $i (instantiate $m))
  (func (export "go") (canon lift (core func $i "go"))))
