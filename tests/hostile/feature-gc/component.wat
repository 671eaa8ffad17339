(component
  (core module $m
    (type (struct (field i32))))
  (core instance $i (instantiate $m))
)
