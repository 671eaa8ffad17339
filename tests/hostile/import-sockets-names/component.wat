(component
  (import "wasi:sockets/ip-name-lookup@0.2.0" (instance $host (export "resolve-addresses" (func (param "name" string) (result u32))))))
