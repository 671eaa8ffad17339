(component
  (core module $m
    (table $t 1 funcref)
    (func (export "go")
      (if (i32.eq (table.grow $t (ref.null func) (i32.const 100000000)) (i32.const -1)) (then unreachable))))
  (core instance $i (instantiate $m))
  (func (export "go") (canon lift (core func $i "go"))))
