(component
  (core module $m
    (table 4000000000 funcref))
  (core instance $i (instantiate $m))
)
