(component
  (import "wasi:sockets/udp-create-socket@0.2.0" (instance $host (export "create-udp-socket" (func (param "family" u8) (result u32))))))
