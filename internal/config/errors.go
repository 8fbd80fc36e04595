package config

import (
	"reflect"
	"slices"
	"strings"
)

// Error is one fault of the file.
type Error struct {
	File string
	Line int    // 1-based; where a key is missing, the line of its table; 0 = the file as a whole
	Key  string // "smtp.port", "provider[1].imap"; "" = none
	Msg  string // what is wrong
	Hint string // what to write or do instead; "" = nothing to add
}

// Error gives "FILE:LINE: KEY: MSG (HINT)" on one line.
func (e *Error) Error() string {
	s := e.place() + ": " + e.Msg
	if e.Hint != "" {
		s += " (" + e.Hint + ")"
	}
	return s
}

func (e *Error) place() string {
	s := e.File
	if e.Line > 0 {
		s += ":" + itoa(e.Line)
	}
	if e.Key != "" {
		s += ": " + e.Key
	}
	return s
}

// Errors is what Load returns: all faults found, in the order of the file.
// errors.As finds the first *Error.
type Errors []*Error

// Error gives one line for each fault.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, one := range e {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap implements the multi-error form of errors.Is and errors.As.
func (e Errors) Unwrap() []error {
	out := make([]error, len(e))
	for i, one := range e {
		out[i] = one
	}
	return out
}

// secretKeys are what people write who put a secret into the file itself.
var secretKeys = []string{"password", "pass", "passwd", "secret", "token", "key", "client_secret"}

// unknownHint helps with a key that doesn't exist.
func unknownHint(key []string) string {
	last := key[len(key)-1]
	if slices.Contains(secretKeys, strings.ToLower(last)) {
		return "a password never stands in this file: write it to a file of its own and name that with password_file"
	}
	names, ok := fieldsAt(key[:len(key)-1])
	if !ok {
		return ""
	}
	if near := nearest(last, names); near != "" {
		return "did you mean " + near + "?"
	}
	var elsewhere []string
	for _, path := range allKeys() {
		section, name, _ := strings.Cut(path, ".")
		if name == last {
			elsewhere = append(elsewhere, "["+section+"]")
		}
	}
	if len(elsewhere) > 0 {
		return "it belongs in " + strings.Join(elsewhere, " or ")
	}
	return "known here: " + strings.Join(names, ", ")
}

// fieldsAt lists the keys that the table at path has.
func fieldsAt(path []string) ([]string, bool) {
	t := reflect.TypeFor[raw]()
	for _, name := range path {
		f, ok := fieldNamed(t, name)
		if !ok {
			return nil, false
		}
		if t = f.Type; t.Kind() == reflect.Slice {
			t = t.Elem()
		}
		if t.Kind() != reflect.Struct {
			return nil, false
		}
	}
	var names []string
	for i := range t.NumField() {
		names = append(names, t.Field(i).Tag.Get("toml"))
	}
	return names, true
}

func fieldNamed(t reflect.Type, name string) (reflect.StructField, bool) {
	for i := range t.NumField() {
		if t.Field(i).Tag.Get("toml") == name {
			return t.Field(i), true
		}
	}
	return reflect.StructField{}, false
}

// allKeys lists every key as "section.name", in the order of raw.
func allKeys() []string {
	var keys []string
	sections, _ := fieldsAt(nil)
	for _, s := range sections {
		names, _ := fieldsAt([]string{s})
		for _, n := range names {
			keys = append(keys, s+"."+n)
		}
	}
	return keys
}

// wanted says in words what kind of value a key takes.
func wanted(path []string) string {
	t := reflect.TypeFor[raw]()
	for _, name := range path {
		if t.Kind() == reflect.Slice {
			t = t.Elem()
		}
		if t.Kind() != reflect.Struct {
			return ""
		}
		f, ok := fieldNamed(t, name)
		if !ok {
			return ""
		}
		t = f.Type
	}
	switch t.Kind() {
	case reflect.String:
		return "text in quotes"
	case reflect.Int64:
		return "a whole number without quotes"
	case reflect.Bool:
		return "true or false, without quotes"
	case reflect.Struct:
		return "a table"
	case reflect.Slice:
		switch t.Elem().Kind() {
		case reflect.Struct:
			return "a list of tables, each begun with [[" + strings.Join(path, ".") + "]]"
		case reflect.Int64:
			return "a list of whole numbers, such as [10, 5]"
		}
		return `a list of texts, such as ["a", "b"]`
	}
	return ""
}

// nearest finds the name that differs from word by the fewest letters, at most
// a third of it; "" if there is none.
func nearest(word string, names []string) string {
	best, at := "", len(word)/3+2
	if at > len(word) {
		at = len(word)
	}
	for _, n := range names {
		if d := distance(strings.ToLower(word), n); d < at {
			best, at = n, d
		}
	}
	return best
}

// distance counts the letters to insert, delete, replace or swap with their
// neighbour between a and b.
func distance(a, b string) int {
	if len(a) > 100 || len(b) > 100 {
		return 100
	}
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			d := min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, rows[i-2][j-2]+1)
			}
			rows[i][j] = d
		}
	}
	return rows[len(a)][len(b)]
}
