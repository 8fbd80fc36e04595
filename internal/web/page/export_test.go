package page

import (
	"io/fs"
	"maps"
	"testing"
)

// Said gives the texts of all keys.
func Said() map[string][2]string { return maps.Clone(said) }

// Templates gives the templates' sources.
func Templates(t testing.TB) map[string]string {
	t.Helper()
	list, err := fs.Glob(files, "templates/*.html")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, name := range list {
		b, err := files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		out[name] = string(b)
	}
	return out
}

// For tests of foreign pictures.
var (
	Redraw      = redraw
	Orientation = orientation
	FileName    = fileName
	ReadDay     = readDay
)
