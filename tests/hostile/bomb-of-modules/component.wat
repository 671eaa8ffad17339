(component
  ;;@repeat 20000
  (core module (func))
  ;;@end
)
