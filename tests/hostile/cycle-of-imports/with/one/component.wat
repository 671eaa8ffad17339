(component
  (import "hostile:cycle/two" (instance $two (export "go" (func))))
  (core func $two (canon lower (func $two "go")))
  (core module $m
    (import "host" "two" (func $two))
    (func (export "go") (call $two)))
  (core instance $i (instantiate $m (with "host" (instance (export "two" (func $two))))))
  (func $go (canon lift (core func $i "go")))
  (instance $api (export "go" (func $go)))
  (export "hostile:cycle/one" (instance $api)))
