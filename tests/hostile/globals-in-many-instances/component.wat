(component
  (core module $m
    ;;@repeat 40000
    (global (mut i32) (i32.const 7))
    ;;@end
  )
  ;;@repeat 250
  (core instance (instantiate $m))
  ;;@end
)
