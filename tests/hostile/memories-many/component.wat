(component
  (core module $m
    ;;@repeat 100
    (memory 1)
    ;;@end
  )
  (core instance (instantiate $m)))
