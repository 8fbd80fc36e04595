package quickget_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"pec-ingest/internal/quickget"
)

// What is handed over arrives, once, and is gone from the environment.
func TestHandOver(t *testing.T) {
	problem := `{"class":"not-permitted","msg":"` + strings.Repeat("x", 7000) + `"}`
	tests := []struct {
		name    string
		asked   bool
		refusal string
	}{
		{"not asked", false, ""},
		{"no answer", true, ""},
		{"refused", true, problem},
	}
	const path = "/usr/bin/a: b/ingest"
	for _, tt := range tests {
		var body []byte
		if tt.refusal != "" {
			body = []byte(tt.refusal)
		}
		quickget.SetState(tt.asked, "", body)
		if err := quickget.HandOver(path); err != nil {
			t.Fatal(err)
		}
		if value := os.Getenv(quickget.FrontVar); strings.Contains(value, "{") || len(value) > 100 {
			t.Errorf("%s: the environment holds the refusal: %q", tt.name, value)
		}
		quickget.SetState(false, "", nil)
		quickget.TakeOver()
		asked, front := quickget.State()
		if got := string(quickget.TakeRefusal()); asked != tt.asked || front != path || got != tt.refusal {
			t.Errorf("%s: got asked %v, front %q, refusal %q", tt.name, asked, front, got)
		}
		if value, ok := os.LookupEnv(quickget.FrontVar); ok {
			t.Errorf("%s: the variable is left: %q", tt.name, value)
		}
		quickget.SetState(false, "", nil)
	}
}

// What was inherited, or written by somebody, is not believed, and never read
// from a file that is no pipe.
func TestTakeOverNothing(t *testing.T) {
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteString(`{"class":"x"}`); err != nil {
		t.Fatal(err)
	}
	if _, err := file.Seek(0, 0); err != nil {
		t.Fatal(err)
	}
	self := os.Getpid()
	tests := []struct {
		value string
		asked bool
	}{
		{"", false},
		{"nonsense", false},
		{fmt.Sprintf("%d", self), false},
		{fmt.Sprintf("%d:-", self), false},
		{fmt.Sprintf("%d:-:/usr/bin/ingest", os.Getppid()), false},
		{fmt.Sprintf("%d:%d:/usr/bin/ingest", self, file.Fd()), true},
		{fmt.Sprintf("%d:999999:/usr/bin/ingest", self), true},
		{fmt.Sprintf("%d:99999999999999999999:/usr/bin/ingest", self), true},
	}
	for _, tt := range tests {
		t.Setenv(quickget.FrontVar, tt.value)
		quickget.SetState(false, "", nil)
		quickget.TakeOver()
		asked, _ := quickget.State()
		if got := quickget.TakeRefusal(); asked != tt.asked || got != nil {
			t.Errorf("%q: got asked %v, refusal %q, want %v and none", tt.value, asked, got, tt.asked)
		}
		if _, ok := syscall.Getenv(quickget.FrontVar); ok {
			t.Errorf("%q: the variable is left", tt.value)
		}
	}
	quickget.SetState(false, "", nil)
	if at, err := file.Seek(0, 1); err != nil || at != 0 {
		t.Errorf("the file was read to %d (%v)", at, err)
	}
}

// The kernel gives the command line that os has from the runtime.
func TestCommandLine(t *testing.T) {
	if got, err := quickget.CommandLine(); err != nil || !slices.Equal(got, os.Args) {
		t.Errorf("got %q, %v, want %q", got, err, os.Args)
	}
}
