package notify_test

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"pec-ingest/internal/notify"
)

// docs/templates.md names every message and every field, and no others.
func TestDocs(t *testing.T) {
	b, err := os.ReadFile("../../docs/templates.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := string(b)
	for _, k := range notify.Kinds() {
		if !strings.Contains(doc, "\n| `"+string(k)+"` |") {
			t.Errorf("message %q is not in docs/templates.md", k)
		}
	}
	known := map[string]bool{}
	add := func(prefix string, t reflect.Type) {
		for i := range t.NumField() {
			known[prefix+t.Field(i).Name] = true
		}
	}
	add(".", reflect.TypeFor[notify.Data]())
	add(".", reflect.TypeFor[notify.Item]())
	add(".Studio.", reflect.TypeFor[notify.Studio]())
	add(".Digest.", reflect.TypeFor[notify.Digest]())
	delete(known, ".Studio") // by its parts
	known[".Digest.Empty"], known[".Expires.IsZero"] = true, true
	for name := range known {
		if !strings.Contains(doc, "`"+name+"`") && name != ".Expires.IsZero" {
			t.Errorf("field %s is not in docs/templates.md", name)
		}
	}
	for i, part := range strings.Split(doc, "`") {
		if i%2 == 1 && strings.HasPrefix(part, ".") && !known[part] {
			t.Errorf("docs/templates.md names %s, which does not exist", part)
		}
	}
}
