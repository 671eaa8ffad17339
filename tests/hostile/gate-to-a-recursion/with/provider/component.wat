(component
  (core module $m
    (func $go (export "go") (call $go)))
  (core instance $i (instantiate $m))
  (func $go (canon lift (core func $i "go")))
  (instance $api (export "go" (func $go)))
  (export "hostile:gate-to-a-recursion/work" (instance $api)))
