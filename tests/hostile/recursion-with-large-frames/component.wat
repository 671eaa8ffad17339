(component
  (core module $m
    (func $go (export "go") (param i64) (result i64)
      (local
        ;;@repeat 1500
        i64
        ;;@end
      )
      ;; All of them are alive over the call.
      ;;@repeat 1500
      (local.set %n+1% (i64.add (local.get %n%) (local.get 0)))
      ;;@end
      (call $go (local.get 0))
      ;;@repeat 1500
      (local.get %n+1%) (i64.add)
      ;;@end
    ))
  (core instance $i (instantiate $m))
  (func (export "go") (param "n" u64) (result u64) (canon lift (core func $i "go"))))
