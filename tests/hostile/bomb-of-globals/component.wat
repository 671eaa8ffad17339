(component
  (core module $m
    ;;@repeat 300000
    (global i32 (i32.const 0))
    ;;@end
  )
  ;;@repeat 40
  (core instance (instantiate $m))
  ;;@end
)
