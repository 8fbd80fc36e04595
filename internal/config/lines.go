package config

import (
	"bytes"
	"fmt"
	"sort"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// Where says where a key stands in the file of a configuration, as
// "FILE:LINE: KEY", for faults that show only when it is put to use. The file
// is read again; where it can't be, the line is left out.
func (c *Config) Where(key string) string {
	e := Error{File: c.Path, Key: key}
	if doc, err := readLimited(c.Path); err == nil {
		e.Line = indexLines(bytes.TrimPrefix(doc, []byte(byteOrderMark))).line(key)
	}
	return e.place()
}

func itoa(n int) string { return strconv.Itoa(n) }

// lines knows on which line each key of a document stands. Keys are written
// "smtp.port", elements of lists "warnings.closed[0]", "provider[1].imap".
type lines struct {
	at     map[string]int
	named  []place // every time a key is named, in the order of the document
	last   int     // the last line
	breaks []int   // offsets of the line ends
}

type place struct {
	key  string
	line int
}

// maxDepth bounds the names kept: no key of ours is deeper, and a hostile
// document could be nested ten thousand levels.
const maxDepth = 5

// line finds a key's line; where the key is absent, that of the nearest
// enclosing table, else the last line, where it could be added.
func (l lines) line(key string) int {
	for key != "" {
		if n, ok := l.at[key]; ok {
			return n
		}
		cut := strings.LastIndexAny(key, ".[")
		if cut < 0 {
			break
		}
		key = key[:cut]
	}
	return l.last
}

// has tells whether the document names a key or table.
func (l lines) has(key string) bool {
	_, ok := l.at[key]
	return ok
}

// keyAt is the last key that begins on a line, "" if none does.
func (l lines) keyAt(line int) string {
	found := ""
	for _, p := range l.named {
		if p.line == line {
			found = p.key
		}
	}
	return found
}

func (l *lines) set(key string, line int) {
	l.named = append(l.named, place{key, line})
	if _, ok := l.at[key]; !ok {
		l.at[key] = line
	}
}

// indexLines reads where the keys stand, as far as the document can be parsed.
func indexLines(doc []byte) lines {
	l := lines{at: map[string]int{}}
	for i, b := range doc {
		if b == '\n' {
			l.breaks = append(l.breaks, i)
		}
	}
	l.last = len(l.breaks) + 1
	if len(doc) > 0 && doc[len(doc)-1] == '\n' {
		l.last--
	}
	var p unstable.Parser
	p.Reset(doc)
	table := ""
	counts := map[string]int{} // elements of each list of tables so far
	for p.NextExpression() {
		e := p.Expression()
		switch e.Kind {
		case unstable.Table:
			table = l.add(e, "", counts)
		case unstable.ArrayTable:
			name := l.add(e, "", counts)
			table = fmt.Sprintf("%s[%d]", name, counts[name])
			counts[name]++
			keys := e.Key()
			keys.Next()
			l.set(table, l.lineOf(keys.Node()))
		case unstable.KeyValue:
			key := l.add(e, table, counts)
			l.addValue(e.Value(), key, 0)
		}
	}
	return l
}

// lineOf is the line on which a node begins.
func (l *lines) lineOf(n *unstable.Node) int {
	return sort.SearchInts(l.breaks, int(n.Raw.Offset)) + 1
}

// add records the key of a node below a table and returns its full name. A
// table header below a list of tables means the list's last element.
func (l *lines) add(n *unstable.Node, table string, counts map[string]int) string {
	name := table
	keys := n.Key()
	line := 0
	for depth := 0; keys.Next() && depth < maxDepth; depth++ {
		if counts != nil && table == "" && counts[name] > 0 {
			name = fmt.Sprintf("%s[%d]", name, counts[name]-1)
		}
		if name != "" {
			name += "."
		}
		name += string(keys.Node().Data)
		if line == 0 {
			line = l.lineOf(keys.Node())
		}
		l.set(name, line)
	}
	return name
}

// addValue records the lines inside lists and inline tables.
func (l *lines) addValue(v *unstable.Node, key string, depth int) {
	if v == nil || depth > maxDepth {
		return
	}
	switch v.Kind {
	case unstable.Array:
		i := 0
		for it := v.Children(); it.Next(); {
			n := it.Node()
			if n.Kind == unstable.Comment {
				continue
			}
			name := fmt.Sprintf("%s[%d]", key, i)
			i++
			if n.Raw.Length > 0 {
				l.set(name, l.lineOf(n))
			} else {
				l.set(name, l.at[key])
			}
			l.addValue(n, name, depth+1)
		}
	case unstable.InlineTable:
		for it := v.Children(); it.Next(); {
			if n := it.Node(); n.Kind == unstable.KeyValue {
				name := l.add(n, key, nil)
				l.addValue(n.Value(), name, depth+1)
			}
		}
	}
}
