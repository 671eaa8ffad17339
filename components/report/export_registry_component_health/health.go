// Package export_registry_component_health is the export `registry:component/health`.
package export_registry_component_health

import (
	types "go.bytecodealliance.org/pkg/wit/types"

	digest "wit_component/demo_checksum_digest"
	template "wit_component/demo_template_render"
)

// The CRC-32 of `abc`, known from elsewhere.
const crcOfABC = "352441c2"

// Check asks two of the components below for answers that are known.
func Check() types.Result[types.Unit, string] {
	if hex := digest.OfText("abc", digest.Algorithm_Crc32).Hex; hex != crcOfABC {
		return types.Err[types.Unit, string]("demo:checksum says that the CRC-32 of abc is " + hex)
	}
	if names := template.Names("{{title}}"); names.IsErr() || len(names.Ok()) != 1 {
		return types.Err[types.Unit, string]("demo:template cannot read a template")
	}
	return types.Ok[types.Unit, string](types.Unit{})
}
