(component
  (import "wasi:keyvalue/store@0.2.0-draft" (instance $host (export "open" (func (param "identifier" string) (result u32))))))
