(component
  (import "wasi:sockets/tcp-create-socket@0.2.0" (instance $host (export "create-tcp-socket" (func (param "family" u8) (result u32))))))
