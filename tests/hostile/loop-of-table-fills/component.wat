(component
  (core module $m
    (table 10000 funcref)
    (func (export "go")
      (loop $again
        (table.fill (i32.const 0) (ref.null func) (i32.const 10000))
        (br $again))))
  (core instance $i (instantiate $m))
  (func (export "go") (canon lift (core func $i "go"))))
