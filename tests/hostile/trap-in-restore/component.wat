(component
  (core module $m
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
    (func (export "go"))
    (func (export "snapshot") (result i32) 
      ;; `ok` of eight bytes.
      (i32.store (i32.const 4) (i32.const 64))
      (i32.store (i32.const 8) (i32.const 8))
      (i32.const 0))
    (func (export "restore") (param i32 i32) (result i32) (unreachable)))
  (core instance $i (instantiate $m))
  (func $snapshot (result (result (list u8) (error string)))
    (canon lift (core func $i "snapshot") (memory (core memory $i "memory"))))
  (func $restore (param "state" (list u8)) (result (result (error string)))
    (canon lift (core func $i "restore") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
  (instance $state (export "snapshot" (func $snapshot)) (export "restore" (func $restore)))
  (export "registry:component/state@0.1.0" (instance $state))
  (func (export "go") (canon lift (core func $i "go"))))
