package submission

import "strings"

// tableRow reads a row below a heading row: "casella | password | scadenza"
// over "rossi@… | Xy12ab | 13/02/2024". Cells are parted by tabs or "|".
func (s *scanner) tableRow(t *text, index int) bool {
	l := &t.lines[index]
	cells := splitCells(l.text)
	if len(cells) < 2 {
		return false
	}
	head := -1
	for j, seen := index-1, 0; j >= 0 && seen < 6; j-- {
		if t.lines[j].blank {
			continue
		}
		seen++
		if (t.lines[j].zone == zoneQuoted) != (l.zone == zoneQuoted) {
			break
		}
		width, isHead := t.lines[j].headRow()
		if width != len(cells) {
			break
		}
		if isHead {
			head = j
			break
		}
	}
	if head < 0 {
		return false
	}
	titles := splitCells(t.lines[head].text)
	taken := false
	for col := range titles {
		if passwordCell(titles[col:col+1]) == 0 {
			taken = s.tableCell(t, index, cells, titles, col) || taken
		}
	}
	return taken
}

// tableCell reads one password of a row. The other cells say whose it is.
func (s *scanner) tableCell(t *text, index int, cells, titles []string, col int) bool {
	l := &t.lines[index]
	toks := tokenize(cells[col])
	if len(toks) != 1 || toks[0].kind == kindNone || toks[0].kind == kindOther || toks[0].kind == kindWord && knownWord(strings.ToLower(toks[0].core)) {
		return false
	}
	c := context{label: "password", hard: true}
	for i, cell := range cells {
		if i != col && !hasValue([]string{cell}) {
			c.words = append(c.words, splitWords(cell)...)
		}
	}
	c.words = append(c.words, splitWords(titles[col])...)
	if lex().has(c.words, "app") {
		c.label = "app"
	}
	c.labelAt = len(c.words)
	h := hit{line: index, kind: toks[0].kind, link: linkDirect, zone: l.zone, weak: toks[0].kind != kindStrong && toks[0].kind != kindWeird}
	s.fill(&h, &c)
	for _, cell := range cells {
		if f := strings.Trim(strings.TrimSpace(cell), "<>"); reMail.MatchString(f) {
			h.mailbox = toLowerASCII(f)
		}
	}
	s.finish(t, &h, toks[0].s, setting{alone: true, escapes: s.escapes})
	s.pending = nil
	return true
}

// headRow tells how many cells the line has, and whether they are the titles
// of a table with a password column. It is worked out once for each line.
func (l *line) headRow() (cells int, isHead bool) {
	if l.width == 0 {
		h := splitCells(l.text)
		l.width = max(len(h), 1)
		l.isHead = passwordCell(h) >= 0 && !hasValue(h)
	}
	return l.width, l.isHead
}

func splitCells(text string) []string {
	sep := "\t"
	if !strings.Contains(text, "\t") {
		sep = "|"
	}
	text = strings.Trim(text, " |\t")
	if !strings.Contains(text, sep) {
		return nil
	}
	cells := strings.Split(text, sep)
	if len(cells) > 20 {
		return nil
	}
	return cells
}

func passwordCell(cells []string) int {
	for i, c := range cells {
		w := splitWords(c)
		if len(w) <= 8 && lex().has(w, "password", "app") {
			return i
		}
	}
	return -1
}

func hasValue(cells []string) bool {
	for _, c := range cells {
		for _, t := range tokenize(c) {
			if t.kind == kindStrong || t.kind == kindWeird || t.kind == kindOther {
				return true
			}
		}
	}
	return false
}
