// Command front is what the Debian package installs as /usr/bin/ingest: a small
// program that answers `ingest get MAILBOX` (internal/quickget does that before
// main begins) and hands everything else over to the whole program, which takes
// its place: same process, same arguments, files and exit code. Mail programs
// wait for that answer, and half of their waiting was for a large program to
// start.
//
// cmd/ingest needs no front: it is all of the program.
package main

import (
	"os"
	"syscall"

	"pec-ingest/internal/quickget"
)

// program is the whole program; the tests build with another path.
var program = "/usr/lib/pec-ingest/ingest"

func main() {
	self, err := os.Executable()
	if err != nil {
		self = ""
	}
	// Without what was to be handed over the whole program does all by itself.
	_ = quickget.HandOver(self)
	err = syscall.Exec(program, os.Args, os.Environ())
	_, _ = os.Stderr.WriteString("ingest: error: starting " + program + ": " + err.Error() + "\n" +
		"ingest: hint: it belongs to the package pec-ingest, as this program does: install that again\n")
	os.Exit(1)
}
