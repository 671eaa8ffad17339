(component
  (core module $first
    (func (export "spin") (loop $again (br $again))))
  (core instance $first (instantiate $first))
  (core module $second
    (import "first" "spin" (func $spin))
    (func $start (call $spin))
    (start $start))
  (core instance (instantiate $second (with "first" (instance $first)))))
