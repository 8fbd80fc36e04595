package notify

import (
	"html"
	"strconv"
	"strings"
	"unicode/utf8"
)

// block is one piece of a message's body.
type block struct {
	kind  byte     // 'p' paragraph, '!' the paragraph that matters most, '1' numbered list, '-' list
	lines []string // of a paragraph, or the items of a list
}

// parseBlocks reads a rendered body: paragraphs are separated by empty lines,
// "1. " and "- " begin items, "! " begins the sentence that matters most.
func parseBlocks(body string) []block {
	var blocks []block
	open := false // whether the last block goes on
	for _, l := range strings.Split(body, "\n") {
		l = strings.TrimSpace(l)
		if l == "" {
			open = false
			continue
		}
		kind, text := byte('p'), l
		if rest, ok := cutNumber(l); ok {
			kind, text = '1', rest
		} else if rest, ok := strings.CutPrefix(l, "- "); ok {
			kind, text = '-', strings.TrimSpace(rest)
		} else if rest, ok := strings.CutPrefix(l, "! "); ok {
			kind, text = '!', strings.TrimSpace(rest)
		}
		last := len(blocks) - 1
		switch {
		case open && blocks[last].kind == kind:
			blocks[last].lines = append(blocks[last].lines, text)
		default:
			blocks = append(blocks, block{kind: kind, lines: []string{text}})
			open = true
		}
	}
	return blocks
}

// cutNumber takes "12. " from the front of a line.
func cutNumber(l string) (rest string, ok bool) {
	number, rest, ok := strings.Cut(l, ". ")
	if !ok || number == "" || len(number) > 2 || strings.Trim(number, "0123456789") != "" {
		return "", false
	}
	return strings.TrimSpace(rest), true
}

// columns is the width of plain text: what every mail program shows without
// breaking lines itself.
const columns = 76

// plainText lays the blocks out as text.
func plainText(blocks []block) string {
	var b strings.Builder
	for i, bl := range blocks {
		if i > 0 {
			b.WriteByte('\n')
		}
		for n, l := range bl.lines {
			switch bl.kind {
			case '1':
				mark := strconv.Itoa(n+1) + ". "
				wrap(&b, l, mark, strings.Repeat(" ", len(mark)))
			case '-':
				wrap(&b, l, "- ", "  ")
			default:
				wrap(&b, l, "", "")
			}
		}
	}
	return b.String()
}

// wrap writes a line, broken between words where it is too long.
func wrap(b *strings.Builder, line, first, rest string) {
	prefix, width := first, utf8.RuneCountInString(first)
	b.WriteString(prefix)
	empty := true
	for _, word := range unbroken(line) {
		n := utf8.RuneCountInString(word)
		if !empty && width+1+n > columns {
			b.WriteByte('\n')
			b.WriteString(rest)
			width, empty = utf8.RuneCountInString(rest), true
		}
		if !empty {
			b.WriteByte(' ')
			width++
		}
		b.WriteString(word)
		width += n
		empty = false
	}
	b.WriteByte('\n')
}

// unbroken splits a line where it may be broken: at blanks, but not between
// digits, so that a telephone number stays whole.
func unbroken(line string) []string {
	var words []string
	for _, w := range strings.Fields(line) {
		last := len(words) - 1
		if last >= 0 && isDigit(words[last][len(words[last])-1]) && isDigit(w[0]) {
			words[last] += " " + w
			continue
		}
		words = append(words, w)
	}
	return words
}

func isDigit(b byte) bool { return b >= '0' && b <= '9' }

// htmlText lays the same blocks out as a document: no images, no links, no
// style sheet, large enough to be read without glasses.
func htmlText(blocks []block, subject, lang string) string {
	var b strings.Builder
	b.WriteString("<!DOCTYPE html>\n<html lang=\"" + html.EscapeString(lang) + "\">\n<head>\n<meta charset=\"utf-8\">\n<title>" +
		html.EscapeString(subject) + "</title>\n</head>\n<body style=\"font-family: sans-serif; font-size: 17px; line-height: 1.5; max-width: 40em\">\n")
	for _, bl := range blocks {
		switch bl.kind {
		case '1', '-':
			tag := "ul"
			if bl.kind == '1' {
				tag = "ol"
			}
			b.WriteString("<" + tag + ">\n")
			for _, l := range bl.lines {
				b.WriteString("<li>" + html.EscapeString(l) + "</li>\n")
			}
			b.WriteString("</" + tag + ">\n")
		default:
			escaped := make([]string, len(bl.lines))
			for i, l := range bl.lines {
				escaped[i] = html.EscapeString(l)
			}
			text := strings.Join(escaped, "<br>\n")
			if bl.kind == '!' {
				text = "<strong>" + text + "</strong>"
			}
			b.WriteString("<p>" + text + "</p>\n")
		}
	}
	b.WriteString("</body>\n</html>\n")
	return b.String()
}
