package internal_test

import (
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "pec-ingest/internal/"

// mayImport is the package map of docs/architecture.md. secret and safetext
// lie below it: every package handles secrets or foreign text.
var mayImport = map[string][]string{
	"pec": {}, "inbox": {}, "probe": {}, "provider": {}, "vault": {}, "schedule": {}, "notify": {}, "config": {},
	"secret": {}, "safetext": {}, "servertest": {}, "clidoc": {}, "metrics": {}, "quietlog": {}, "totp": {}, "quickget": {},
	"submission": {"pec"},
	"pectest":    {"pec"},
	"web":        {"vault", "schedule"},
	"ingest":     {"config", "inbox", "metrics", "notify", "pec", "probe", "provider", "schedule", "submission", "totp", "vault"},
	"bench":      {},
	"demo":       {"config", "ingest", "pec", "pectest", "vault", "web"},
}

var below = []string{"secret", "safetext"}

// base packages import nothing of the module at all.
var base = []string{"secret", "safetext"}

// Tests alone may make messages and start servers.
var testOnly = []string{"pectest", "servertest"}

func TestImportDirections(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	seen := 0
	for dec := json.NewDecoder(strings.NewReader(string(out))); dec.More(); {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		name, inside := strings.CutPrefix(p.ImportPath, module)
		if !inside {
			continue
		}
		top, _, _ := strings.Cut(name, "/")
		allowed, known := mayImport[top]
		if !known {
			t.Errorf("package %s is not on the package map", name)
			continue
		}
		seen++
		for _, imp := range p.Imports {
			imp, inside := strings.CutPrefix(imp, module)
			if !inside {
				continue
			}
			to, _, _ := strings.Cut(imp, "/")
			if to == top {
				continue
			}
			if slices.Contains(below, to) && !slices.Contains(base, top) {
				continue
			}
			if !slices.Contains(allowed, to) {
				t.Errorf("%s imports %s, which the package map does not allow", name, imp)
			}
			if slices.Contains(testOnly, to) && top != "demo" {
				t.Errorf("%s imports %s outside its tests", name, imp)
			}
		}
	}
	if seen < 10 {
		t.Fatalf("looked at %d packages, want the whole module", seen)
	}
}
