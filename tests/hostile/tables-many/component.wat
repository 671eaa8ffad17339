(component
  (core module $m
    ;;@repeat 99
    (table 1 funcref)
    ;;@end
  )
  (core instance (instantiate $m))
  (core instance (instantiate $m))
  (core instance (instantiate $m))
  (core instance (instantiate $m)))
