(component
  (import "nobody:knows/this@1.0.0" (instance $host (export "go" (func)))))
