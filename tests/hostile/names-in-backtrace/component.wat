(component
  (core module $m
    (func $"\1b[2J\0downed\0a  at a line of its own" unreachable)
    (func $"\e2\80\aedesrever" (call $"\1b[2J\0downed\0a  at a line of its own"))
    (func (export "go") (call $"\e2\80\aedesrever")))
  (core instance $i (instantiate $m))
  (func (export "go") (canon lift (core func $i "go"))))
