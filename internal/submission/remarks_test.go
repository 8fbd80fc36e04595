package submission_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pec-ingest/internal/submission"
)

// TestRemarks puts a remark behind a password: one that takes it back keeps it
// from being taken without a login, whatever words it is made in; any other
// leaves the password found.
func TestRemarks(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(corpusDir, "frames", "remarks.txt"))
	if err != nil {
		t.Fatal(err)
	}
	const pw = "Nq74Rx"
	letters := []string{"La password è " + pw, "Password: " + pw, "Buongiorno,\necco la nuova password per i programmi di posta:\n\n" + pw}
	alone, all := 0, 0
	for _, chunk := range strings.Split("\n"+string(b), "\n=== ")[1:] {
		title, list, _ := strings.Cut(strings.TrimSpace(chunk), "\n")
		remarks := strings.Split(list, "\n")
		if len(remarks) < 50 {
			t.Fatalf("%s: got %d remarks, want 50 at least", title, len(remarks))
		}
		for _, remark := range remarks {
			for _, letter := range letters {
				for _, sep := range []string{"\n", ". "} {
					if sep == ". " && title == "harmless" {
						continue // some stand on lines of their own only: "Inviato da …"
					}
					r := submission.FindRaw(text(letter+sep+remark), "password pec", "rossi@pec.example", defaultSent)
					taken := r.State == submission.Found && !r.Candidates[0].Loose
					switch {
					case title == "takes back" && taken:
						t.Errorf("%q: taken without a login: %s", letter+sep+remark, describe(r))
					case title == "harmless" && (r.State != submission.Found || r.Candidates[0].Secret.RevealString() != pw):
						t.Errorf("%q: got %s %s, want it found", letter+sep+remark, r.State, describe(r))
					case title == "harmless":
						all++
						if taken {
							alone++
						}
					}
				}
			}
		}
	}
	t.Logf("harmless: %d of %d taken without a login", alone, all)
	if all == 0 {
		t.Error("got no harmless remark: nothing was tested")
	}
}
