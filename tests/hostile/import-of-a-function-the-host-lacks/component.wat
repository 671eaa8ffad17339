(component
  (import "wasi:clocks/wall-clock@0.2.0" (instance $host (export "set" (func (param "seconds" u64))))))
