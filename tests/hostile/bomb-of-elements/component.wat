(component
  (core module
    (table 10 funcref)
    (func $f)
    (elem func
      ;;@repeat 2000000
      $f
      ;;@end
    )))
