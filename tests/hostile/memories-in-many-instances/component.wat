(component
  (core module $m (memory 1))
  ;;@repeat 200
  (core instance (instantiate $m))
  ;;@end
)
