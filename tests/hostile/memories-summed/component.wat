(component
  (core module $m (memory 60))
  ;;@repeat 20
  (core instance (instantiate $m))
  ;;@end
)
