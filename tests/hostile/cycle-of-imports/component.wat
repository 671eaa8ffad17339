(component
  (import "hostile:cycle/one" (instance $one (export "go" (func))))
  (core func $one (canon lower (func $one "go")))
  (core module $m
    (import "host" "one" (func $one))
    (func (export "go") (call $one)))
  (core instance $i (instantiate $m (with "host" (instance (export "one" (func $one))))))
  (func $go (canon lift (core func $i "go")))
  (instance $api (export "go" (func $go)))
  (export "hostile:cycle/two" (instance $api)))
