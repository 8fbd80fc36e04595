package internal_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const eventsDoc = "../docs/events.md"

// built are the event names that the code puts together, by the literal part
// of them; a new part must be added here, and its names to docs/events.md.
var built = map[string][]string{
	"credential.": {"credential.accepted", "credential.superseded", "credential.extended", "credential.rejected", "credential.ignored"},
	"probe.":      {"probe.accepted", "probe.refused", "probe.not-enabled", "probe.unavailable", "probe.rate-limited", "probe.network", "probe.tls"},
	".refused":    {"inbox.refused", "smtp.refused"},
}

// logged is what the sources say of one event.
type logged struct {
	fields map[string]bool // of log lines; audit entries have those of the audit log
	at     []string
}

var eventName = regexp.MustCompile(`^[a-z]+(\.[a-z_-]+)*$`)

// eventsOf collects the event names in the sources: what follows "event" in a
// call of the log, the field Event of audit entries and alerts, variables and
// constants of that name.
func eventsOf(t *testing.T) (names map[string]*logged, parts map[string]bool) {
	t.Helper()
	names, parts = map[string]*logged{}, map[string]bool{}
	files := token.NewFileSet()
	note := func(e ast.Expr, fields []string) {
		for _, lit := range literals(e) {
			where := files.Position(lit.Pos()).String()
			text, err := strconv.Unquote(lit.Value)
			if err != nil {
				t.Fatal(err)
			}
			if _, whole := e.(*ast.BinaryExpr); whole {
				parts[text] = true
				continue
			}
			if !eventName.MatchString(text) {
				continue
			}
			if names[text] == nil {
				names[text] = &logged{fields: map[string]bool{}}
			}
			names[text].at = append(names[text].at, where)
			for _, f := range fields {
				names[text].fields[f] = true
			}
		}
	}
	takers := map[string]int{} // functions with a parameter named event, and which
	each := func(fn func(file *ast.File)) { sources(t, files, fn) }
	each(func(file *ast.File) {
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok {
				i := 0
				for _, p := range f.Type.Params.List {
					for _, name := range p.Names {
						if name.Name == "event" {
							takers[f.Name.Name] = i
						}
						i++
					}
				}
			}
		}
	})
	each(func(file *ast.File) {
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				if value, fields, ok := logCall(n); ok {
					note(value, fields)
				}
				if i, ok := takers[called(n)]; ok && i < len(n.Args) {
					note(n.Args[i], nil)
				}
			case *ast.KeyValueExpr:
				if key, ok := n.Key.(*ast.Ident); ok && key.Name == "Event" {
					note(n.Value, nil)
				}
			case *ast.AssignStmt:
				for i, left := range n.Lhs {
					if id, ok := left.(*ast.Ident); ok && id.Name == "event" && i < len(n.Rhs) {
						note(n.Rhs[i], nil)
					}
				}
			case *ast.ValueSpec:
				for i, id := range n.Names {
					if strings.HasPrefix(strings.ToLower(id.Name), "event") && i < len(n.Values) {
						note(n.Values[i], nil)
					}
				}
			case *ast.FuncDecl:
				if n.Name.Name == "eventOf" {
					ast.Inspect(n, func(n ast.Node) bool {
						if r, ok := n.(*ast.ReturnStmt); ok {
							for _, e := range r.Results {
								note(e, nil)
							}
						}
						return true
					})
				}
			}
			return true
		})
	})
	return names, parts
}

// called is the name of the function or method that a call names.
func called(call *ast.CallExpr) string {
	switch f := call.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return f.Sel.Name
	}
	return ""
}

// sources parses the module's files but tests, one after the other.
func sources(t *testing.T, files *token.FileSet, fn func(*ast.File)) {
	t.Helper()
	for _, root := range []string{".", "../cmd/ingest"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			if strings.HasPrefix(path, "metrics/") || strings.HasPrefix(path, "pectest/") {
				return nil // read events, or make messages
			}
			file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
			if err == nil {
				fn(file)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// logCall finds "event" among a call's arguments: the value after it, and the
// names of the other attributes.
func logCall(call *ast.CallExpr) (value ast.Expr, fields []string, ok bool) {
	for i := 0; i+1 < len(call.Args); i++ {
		lit, isLit := call.Args[i].(*ast.BasicLit)
		if !isLit || lit.Value != `"event"` {
			continue
		}
		for j := i + 2; j < len(call.Args); j += 2 {
			if f, ok := call.Args[j].(*ast.BasicLit); ok && f.Kind == token.STRING {
				name, _ := strconv.Unquote(f.Value)
				fields = append(fields, name)
			}
		}
		return call.Args[i+1], fields, true
	}
	return nil, nil, false
}

// literals are the string literals of an expression that is one, or a sum.
func literals(e ast.Expr) (list []*ast.BasicLit) {
	switch e := e.(type) {
	case *ast.BasicLit:
		if e.Kind == token.STRING {
			list = append(list, e)
		}
	case *ast.BinaryExpr:
		if e.Op != token.ADD {
			return nil
		}
		list = append(literals(e.X), literals(e.Y)...)
	}
	return list
}

// documented reads the rows of docs/events.md: | `name` | fields | …
func documented(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile(eventsDoc)
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z][a-z._-]+)` \\| ([^|]*) \\| [^|]+ \\| [^|]+ \\|$").FindAllStringSubmatch(string(text), -1) {
		if _, twice := rows[m[1]]; twice {
			rows[m[1]] += " "
		}
		rows[m[1]] += m[2]
	}
	return rows
}

// docs/events.md has every event of the code with its fields, and no other.
func TestEventsAreDocumented(t *testing.T) {
	names, parts := eventsOf(t)
	if len(names) < 40 {
		t.Fatalf("found %d events, want the module's", len(names))
	}
	rows := documented(t)
	known := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		known[name] = true
		row, ok := rows[name]
		if !ok {
			t.Errorf("%s (%s) is not in docs/events.md", name, names[name].at[0])
			continue
		}
		for _, f := range slices.Sorted(maps.Keys(names[name].fields)) {
			if !strings.Contains(row, "`"+f+"`") {
				t.Errorf("docs/events.md: %s has a field %s that its row does not have", name, f)
			}
		}
	}
	for part := range parts {
		list, ok := built[part]
		if !ok {
			t.Errorf("event names are built with %q: add it to built, and the names to docs/events.md", part)
		}
		for _, name := range list {
			known[name] = true
			if _, ok := rows[name]; !ok {
				t.Errorf("%s is not in docs/events.md", name)
			}
		}
	}
	for name := range rows {
		if !known[name] {
			t.Errorf("docs/events.md has %s, which no code says", name)
		}
	}
}
