(component
  (import "wasi:sockets/tcp@0.2.0" (instance $host 
    (export "tcp-socket" (type $s (sub resource)))
    (export "[method]tcp-socket.is-listening" (func (param "self" (borrow $s)) (result bool))))))
