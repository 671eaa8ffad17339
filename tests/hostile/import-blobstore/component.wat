(component
  (import "wasi:blobstore/blobstore@0.2.0-draft" (instance $host (export "create-container" (func (param "name" string) (result u32))))))
