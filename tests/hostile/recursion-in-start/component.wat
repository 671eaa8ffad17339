(component
  (core module $m
    (func $start (call $start))
    (start $start))
  (core instance $i (instantiate $m))
)
