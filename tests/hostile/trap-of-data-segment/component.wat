(component
  (core module $m
    (memory 1)
    (data (i32.const 65535) "too long"))
  (core instance $i (instantiate $m))
)
