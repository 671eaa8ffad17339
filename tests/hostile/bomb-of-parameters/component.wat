(component
  (core module
    ;;@repeat 2000
    (type (func (param %i64 *900%) (result %bits%)))
    ;;@end
  ))
