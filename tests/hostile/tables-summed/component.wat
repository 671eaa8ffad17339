(component
  (core module $m (table 9000 funcref))
  ;;@repeat 15
  (core instance (instantiate $m))
  ;;@end
)
