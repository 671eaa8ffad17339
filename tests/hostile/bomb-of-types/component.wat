(component
  (core module
    ;;@repeat 200000
    (type (func (param %bits%)))
    ;;@end
  ))
