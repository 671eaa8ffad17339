(component
  (core module
    (global $g (mut i32) (i32.const 0))
    (func
      ;;@repeat 500000
      (global.set $g (i32.add (i32.mul (global.get $g) (i32.const 31)) (i32.const %n%)))
      ;;@end
    )))
