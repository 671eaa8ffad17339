(component
  (import "nobody:%x*60000%/this" (instance $host (export "go" (func)))))
