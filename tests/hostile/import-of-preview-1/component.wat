(component
  (import "wasi:filesystem/types@0.3.0" (instance $host (export "open" (func (param "path" string) (result u32))))))
