//go:build !killpoints

package ingest

// killPoint marks a place between two steps of the way of a message. In an
// ordinary build it is nothing; built with the tag "killpoints" the process
// can be told to die there (killpoint_on.go), which is how the tests show
// that a crash at any of them loses nothing and does nothing twice.
func killPoint(string) {}

// killReading is the same for a process that shall die at a certain message.
func killReading([]byte) {}
