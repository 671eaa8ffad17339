(component
  (import "wasi:random/random@0.2.0" (instance $host (export "get-random-bytes" (func (param "len" string) (result string))))))
