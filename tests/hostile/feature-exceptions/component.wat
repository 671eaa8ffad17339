(component
  (core module $m
    (tag (param i32)))
  (core instance $i (instantiate $m))
)
