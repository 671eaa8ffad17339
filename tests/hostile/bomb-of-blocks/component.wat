(component
  (core module
    (func
      ;;@repeat 3000000
      block
      ;;@end
      ;;@repeat 3000000
      end
      ;;@end
    )))
