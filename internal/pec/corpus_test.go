package pec_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pec-ingest/internal/pec"
	"pec-ingest/internal/pectest/corpus"
	"pec-ingest/internal/safetext"
)

// go test ./internal/pec -run TestCorpus -update writes testdata/eml anew.
var update = flag.Bool("update", false, "write the fixtures and their golden files")

const fixtureDir = "../../testdata/eml"

// golden is an object of `ingest read --json` without the submission.
type golden struct {
	File       string     `json:"file"`
	Kind       pec.Kind   `json:"kind"`
	Certified  bool       `json:"certified"`
	Reason     pec.Reason `json:"reason"`
	Weak       []string   `json:"weak"`
	ID         *string    `json:"id"`
	MsgID      *string    `json:"msgid"`
	Sender     *string    `json:"sender"`
	Recipients []string   `json:"recipients"`
	Subject    *string    `json:"subject"`
	SentAt     *string    `json:"sent_at"`
	Provider   *string    `json:"provider"`
	Signer     *signer    `json:"signer"`
}

type signer struct {
	Address string `json:"address"`
	SPKI    string `json:"spki_sha256"`
}

func goldenOf(file string, j *pec.Judgement) golden {
	g := golden{File: file, Kind: j.Kind, Certified: j.Certified(), Reason: j.Reason, Weak: append([]string{}, j.Weak...)}
	text := func(s string) *string {
		if s = safetext.Line(s); s == "" {
			return nil
		}
		return &s
	}
	m := j.Message
	if m == nil {
		m = j.Receipt
	}
	if m == nil {
		g.ID, g.MsgID, g.Subject = text(j.Claimed.ID), text(j.Claimed.MsgID), text(j.Claimed.Subject)
		return g
	}
	g.ID, g.MsgID, g.Subject, g.Provider = text(m.ID), text(m.MsgID), text(m.Subject), text(m.Provider)
	g.SentAt = text(m.SentAt.Format(time.RFC3339))
	g.Signer = &signer{m.Signer.Address, m.Signer.SPKI}
	for _, r := range m.Recipients {
		g.Recipients = append(g.Recipients, r.Address)
	}
	if j.Certified() {
		g.Sender = text(safetext.Address(m.Sender))
	}
	return g
}

// Every fixture gets the verdict that a person wrote beside it; its file and
// its golden JSON are what the generator makes.
func TestCorpus(t *testing.T) {
	o, err := corpus.Options()
	if err != nil {
		t.Fatal(err)
	}
	all := corpus.All()
	if len(all) < 120 {
		t.Fatalf("got %d fixtures, want at least 120", len(all))
	}
	files := map[string][]byte{"trust.pem": corpus.TrustPEM(), "revoked.crl": corpus.CRL()}
	var verdicts strings.Builder
	for _, f := range all {
		t.Run(f.Name, func(t *testing.T) {
			if files[f.Name+".eml"] != nil {
				t.Fatal("name is taken")
			}
			raw := bytes.Clone(f.Message)
			j := pec.Judge(raw, o)
			if j.Kind != f.Kind || j.Reason != f.Reason {
				t.Errorf("%s: got %s %q (%v), want %s %q", f.About, j.Kind, j.Reason, j.Err, f.Kind, f.Reason)
			}
			if !bytes.Equal(raw, f.Message) {
				t.Error("the message was changed")
			}
			checkShape(t, j)
			b, err := json.MarshalIndent(goldenOf(f.Name+".eml", j), "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			files[f.Name+".eml"] = append([]byte{}, f.Message...)
			files[f.Name+".json"] = append(b, '\n')
			// The detail tells whether the fault that was meant was found.
			fmt.Fprintf(&verdicts, "%-36s %-24s %v\n    %s\n", f.Name, orCertified(j.Reason), j.Err, f.About)
		})
	}
	files["VERDICTS.txt"] = []byte(verdicts.String())
	compareFiles(t, files)
}

func orCertified(r pec.Reason) string {
	if r == "" {
		return "certified"
	}
	return string(r)
}

// checkShape holds for every judgement.
func checkShape(t *testing.T, j *pec.Judgement) {
	t.Helper()
	certified := j.Reason == ""
	if certified != (j.Err == nil) || certified != (j.Message != nil) || certified != j.Certified() {
		t.Errorf("reason %q with error %v and message %v", j.Reason, j.Err, j.Message != nil)
	}
	if (j.Receipt != nil) && j.Reason != pec.ReasonReceipt {
		t.Errorf("a receipt with reason %q", j.Reason)
	}
	if j.Err != nil {
		for _, private := range []string{"@", "rossi", "studio", "pec.it", "Kx7"} {
			if strings.Contains(j.Err.Error(), private) {
				t.Errorf("the error tells something of the message: %v", j.Err)
			}
		}
		if !errors.Is(j.Err, j.Reason.Err()) {
			t.Errorf("error %v does not wrap the sentinel of %q", j.Err, j.Reason)
		}
	}
	if certified && (j.Kind != pec.KindEnvelope || j.Message.Kind != pec.KindEnvelope) {
		t.Errorf("certified, but of kind %q", j.Kind)
	}
}

func compareFiles(t *testing.T, files map[string][]byte) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(fixtureDir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range files {
		path := filepath.Join(fixtureDir, name)
		got, err := os.ReadFile(path)
		switch {
		case err == nil && bytes.Equal(got, want):
		case *update:
			if err := os.WriteFile(path, want, 0o644); err != nil {
				t.Fatal(err)
			}
		case err != nil:
			t.Errorf("%s: %v (-update writes it)", name, err)
		default:
			t.Errorf("%s differs from what is made now:\ngot  %.300q\nwant %.300q", name, want, got)
		}
	}
	entries, err := os.ReadDir(fixtureDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if files[e.Name()] == nil && e.Name() != "README.md" {
			if *update {
				_ = os.Remove(filepath.Join(fixtureDir, e.Name()))
				continue
			}
			t.Errorf("%s belongs to no fixture", e.Name())
		}
	}
}
