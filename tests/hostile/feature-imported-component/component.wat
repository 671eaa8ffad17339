(component
  (import "plug" (component (export "f" (func)))))
