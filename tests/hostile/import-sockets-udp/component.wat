(component
  (import "wasi:sockets/udp@0.2.0" (instance $host 
    (export "udp-socket" (type $s (sub resource)))
    (export "[method]udp-socket.address-family" (func (param "self" (borrow $s)) (result u8))))))
