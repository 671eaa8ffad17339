// Package export_{{namespace_snake}}_{{name_snake}}_greeter greets people: the interface {{id}}/greeter.
package export_{{namespace_snake}}_{{name_snake}}_greeter

import types "go.bytecodealliance.org/pkg/wit/types"

// Greet returns a greeting for name; an empty name is an error.
func Greet(name string) types.Result[string, string] {
	if name == "" {
		return types.Err[string, string]("nobody to greet")
	}
	return types.Ok[string, string]("Hello, " + name + "!")
}
