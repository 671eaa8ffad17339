(component
  (import "hostile:gate-in-start/work" (instance $work (export "go" (func))))
  (core func $work (canon lower (func $work "go")))
  (core module $m
    (import "host" "work" (func $work))
    (func $start (call $work))
    (start $start)
    (func (export "go")))
  (core instance $i (instantiate $m (with "host" (instance (export "work" (func $work))))))
  (func (export "go") (canon lift (core func $i "go"))))
