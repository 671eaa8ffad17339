(component
  (import "wasi:http/outgoing-handler@0.2.0" (instance $host (export "handle" (func (param "request" u32) (result u32))))))
