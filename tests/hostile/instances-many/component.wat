(component
  (core module $m (func (export "f")))
  ;;@repeat 900
  (core instance (instantiate $m))
  ;;@end
)
