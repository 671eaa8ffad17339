(component
  (import "registry:host/registry@0.1.0" (instance $host (export "unregister" (func (param "id" string))))))
