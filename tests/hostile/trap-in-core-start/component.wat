(component
  (core module $m
    (func $start (unreachable))
    (start $start))
  (core instance $i (instantiate $m))
)
