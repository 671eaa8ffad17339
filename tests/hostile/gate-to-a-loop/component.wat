(component
  (import "hostile:gate-to-a-loop/work" (instance $work (export "go" (func))))
  (core func $work (canon lower (func $work "go")))
  (core module $m
    (import "host" "work" (func $work))
    (func (export "go") (call $work)))
  (core instance $i (instantiate $m (with "host" (instance (export "work" (func $work))))))
  (func (export "go") (canon lift (core func $i "go"))))
