(component
  (import "hostile:chain/go%n+1%" (instance $next (export "go" (func))))
  (core func $next (canon lower (func $next "go")))
  (core module $m
    (import "next" "go" (func $next))
    ;; Deep, but not too deep: then on to the next component, which does the same.
    (func $down (param $left i32)
      (if (local.get $left)
        (then (call $down (i32.sub (local.get $left) (i32.const 1))))
        (else (call $next))))
    (func (export "go") (call $down (i32.const 1))))
  (core instance $i (instantiate $m (with "next" (instance (export "go" (func $next))))))
  (func $go (canon lift (core func $i "go")))
  (instance $api (export "go" (func $go)))
  (export "hostile:chain/go%n%" (instance $api)))
