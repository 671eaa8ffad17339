package export_demo_report_write

import (
	"runtime"
	"runtime/debug"
)

// A collection asks for the time of day. Where the host hands values over, in the middle of a call to another component, a
// guest may call nobody, so a collection that starts there is a trap. It is off, and each export begins with one instead.
func init() {
	debug.SetGCPercent(-1)
}

// collect frees what earlier calls left behind.
func collect() {
	runtime.GC()
}
