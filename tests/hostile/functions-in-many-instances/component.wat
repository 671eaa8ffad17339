(component
  (core module $m
    (func $f)
    ;;@repeat 10000
    (export "%n%" (func $f))
    (func) (func)
    ;;@end
  )
  ;;@repeat 250
  (core instance (instantiate $m))
  ;;@end
)
