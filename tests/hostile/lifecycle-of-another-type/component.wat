(component
  (core module $m
    (func (export "activate") (param i32) (result i32) (local.get 0)))
  (core instance $i (instantiate $m))
  (func $f (param "n" u32) (result u32) (canon lift (core func $i "activate")))
  (instance $api (export "activate" (func $f)))
  (export "registry:component/lifecycle@0.1.0" (instance $api)))
