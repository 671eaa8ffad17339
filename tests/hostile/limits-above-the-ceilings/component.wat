(component
  (core module $m
    (func $start (loop $again (br $again)))
    (start $start))
  (core instance $i (instantiate $m))
)
