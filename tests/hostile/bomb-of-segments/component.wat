(component
  (core module
    (memory 1)
    ;;@repeat 200000
    (data (i32.const 0) "x")
    ;;@end
  ))
