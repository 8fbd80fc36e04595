package servertest

import (
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// leakPatience is for a machine that is very busy with other things.
const leakPatience = 2 * time.Minute

// ExitWithoutLeaks is a TestMain: it runs the tests and ends the process, with
// a failure where they leave goroutines behind. What is about to end has the
// time that a busy machine needs.
func ExitWithoutLeaks(m *testing.M) {
	code := m.Run()
	for end := time.Now().Add(leakPatience); code == 0; {
		err := goleak.Find()
		if err == nil {
			break
		}
		if time.Now().After(end) {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}
