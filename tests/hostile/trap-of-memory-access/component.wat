(component
  (core module $m
    (memory 1)
    (func (export "go") (drop (i32.load (i32.const -4)))))
  (core instance $i (instantiate $m))
  (func (export "go") (canon lift (core func $i "go"))))
