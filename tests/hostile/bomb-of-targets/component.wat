(component
  (core module
    (func (param i32)
      local.get 0
      br_table
      ;;@repeat 5000000
      0
      ;;@end
    )))
