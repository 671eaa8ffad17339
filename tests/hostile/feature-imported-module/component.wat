(component
  (import "plug" (core module (export "f" (func)))))
