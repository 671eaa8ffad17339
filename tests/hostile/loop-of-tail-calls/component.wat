(component
  (core module $m
    (func $ping (return_call $pong))
    (func $pong (return_call $ping))
    (func (export "go") (call $ping)))
  (core instance $i (instantiate $m))
  (func (export "go") (canon lift (core func $i "go"))))
