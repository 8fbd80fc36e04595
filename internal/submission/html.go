package submission

import (
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// srcLine is one line of text as a person would see it.
type srcLine struct {
	n      int    // line number in its text, from 1
	text   string // cleaned, see clean
	quoted bool   // known to be quoted (blockquote, ">")
}

// htmlLines renders HTML as lines: blocks and <br> end a line, table cells are
// parted by a tab. Hidden and struck-out text is left out. The tokenizer is
// used alone, so that depth costs nothing.
func htmlLines(doc string) []srcLine {
	w := htmlWriter{z: html.NewTokenizer(strings.NewReader(doc))}
	for {
		switch w.z.Next() {
		case html.ErrorToken:
			w.flush()
			return w.lines
		case html.TextToken:
			if len(w.hidden) == 0 {
				w.write(string(w.z.Text()))
			}
		case html.StartTagToken:
			w.start(false)
		case html.SelfClosingTagToken:
			w.start(true)
		case html.EndTagToken:
			name, _ := w.z.TagName()
			w.end(string(name))
		}
	}
}

type htmlWriter struct {
	z      *html.Tokenizer
	lines  []srcLine
	buf    strings.Builder
	hidden []string // open elements whose content nobody sees, each with what nests in it
	quotes []string // open elements that make a quotation
	pre    int
	n      int
}

// endsLine lists the elements that stand on lines of their own.
var endsLine = map[atom.Atom]bool{
	atom.P: true, atom.Div: true, atom.Br: true, atom.Tr: true, atom.Li: true, atom.Ul: true, atom.Ol: true,
	atom.H1: true, atom.H2: true, atom.H3: true, atom.H4: true, atom.H5: true, atom.H6: true, atom.Table: true,
	atom.Blockquote: true, atom.Pre: true, atom.Hr: true, atom.Dl: true, atom.Dt: true, atom.Dd: true,
	atom.Section: true, atom.Article: true, atom.Header: true, atom.Footer: true, atom.Address: true,
	atom.Center: true, atom.Form: true, atom.Body: true, atom.Tbody: true, atom.Thead: true, atom.Caption: true,
	atom.Main: true, atom.Nav: true, atom.Aside: true, atom.Figure: true, atom.Figcaption: true, atom.Fieldset: true,
	atom.Legend: true, atom.Details: true, atom.Summary: true, atom.Option: true,
}

// apart lists the elements whose text is seen apart from what stands beside
// it on the line: a password with the button "Copia" behind it.
var apart = map[atom.Atom]bool{atom.Button: true, atom.Select: true, atom.Textarea: true, atom.Label: true}

var unseen = map[atom.Atom]bool{
	atom.Script: true, atom.Style: true, atom.Head: true, atom.Title: true, atom.Template: true,
	atom.S: true, atom.Strike: true, atom.Del: true, atom.Noscript: true,
}

var void = map[atom.Atom]bool{
	atom.Br: true, atom.Hr: true, atom.Img: true, atom.Input: true, atom.Meta: true, atom.Link: true, atom.Col: true, atom.Wbr: true,
	atom.Area: true, atom.Base: true, atom.Embed: true, atom.Param: true, atom.Source: true, atom.Track: true,
}

func (w *htmlWriter) start(selfClosing bool) {
	raw := string(w.z.Raw())
	nameBytes, more := w.z.TagName()
	name := string(nameBytes)
	a := atom.Lookup([]byte(name))
	var style, class, id, value, kind string
	for more {
		var k, v []byte
		k, v, more = w.z.TagAttr()
		switch string(k) {
		case "style":
			style = strings.ToLower(strings.ReplaceAll(string(v), " ", ""))
		case "class":
			class = string(v)
		case "id":
			id = string(v)
		case "value":
			value = string(v)
		case "type":
			kind = strings.ToLower(string(v))
		case "hidden":
			style += "display:none"
		}
	}
	if a == 0 && !strings.ContainsAny(name, ":-") && len(w.hidden) == 0 {
		// No element: somebody's text with a "<" that was not escaped.
		w.write(html.UnescapeString(raw))
		return
	}
	if a == atom.Body {
		w.hidden = nil // a <head> that was never closed
	}
	leaf := selfClosing || void[a]
	if !leaf && (len(w.hidden) > 0 && w.hidden[0] == name || len(w.hidden) == 0 && (unseen[a] || invisibleStyle(style))) {
		w.hidden = append(w.hidden, name)
		return
	}
	if len(w.hidden) > 0 {
		return
	}
	if endsLine[a] || strings.Contains(style, "display:block") {
		w.flush()
	}
	if apart[a] {
		w.write(" ")
	}
	if a == atom.Td || a == atom.Th {
		if w.buf.Len() > 0 {
			w.buf.WriteByte('\t')
		}
	}
	if a == atom.Pre {
		w.pre++
	}
	if a == atom.Input && value != "" && (kind == "" || kind == "text" || kind == "password") {
		w.write(" " + value + " ")
	}
	if leaf {
		return
	}
	switch {
	case a == atom.Blockquote && !strings.Contains(style, "border:none"), strings.Contains(class, "gmail_quote"), strings.Contains(class, "moz-cite"), strings.Contains(class, "yahoo_quoted"):
		w.quotes = append(w.quotes, name)
	case id == "divRplyFwdMsg" || id == "appendonsend" || id == "OLK_SRC_BODY_SECTION":
		w.quotes = append(w.quotes, "") // never closed: all that follows
	case len(w.quotes) > 0 && w.quotes[len(w.quotes)-1] == name:
		w.quotes = append(w.quotes, name) // nested, to match the ends
	}
}

func (w *htmlWriter) end(name string) {
	if n := len(w.hidden); n > 0 {
		if w.hidden[n-1] == name {
			w.hidden = w.hidden[:n-1]
		}
		return
	}
	a := atom.Lookup([]byte(name))
	if endsLine[a] {
		w.flush()
	}
	if apart[a] {
		w.write(" ")
	}
	if a == atom.Pre && w.pre > 0 {
		w.pre--
	}
	if n := len(w.quotes); n > 0 && w.quotes[n-1] == name {
		w.quotes = w.quotes[:n-1]
	}
}

// invisibleStyle knows the usual ways to hide text or to strike it out.
func invisibleStyle(style string) bool {
	for _, s := range []string{"display:none", "visibility:hidden", "line-through", "mso-hide:all"} {
		if strings.Contains(style, s) {
			return true
		}
	}
	return strings.Contains(style, "font-size:0") && !strings.Contains(style, "font-size:0.")
}

func (w *htmlWriter) write(s string) {
	if w.pre > 0 {
		for i, l := range strings.Split(s, "\n") {
			if i > 0 {
				w.flush()
			}
			w.buf.WriteString(l)
		}
		return
	}
	if strings.ContainsAny(s, "\r\n\t") {
		s = oneLine.Replace(s)
	}
	w.buf.WriteString(s)
}

var oneLine = strings.NewReplacer("\r", " ", "\n", " ", "\t", " ")

func (w *htmlWriter) flush() {
	text := clean(w.buf.String())
	w.buf.Reset()
	if strings.TrimSpace(text) == "" {
		text = ""
		if len(w.lines) > 0 && w.lines[len(w.lines)-1].text == "" {
			return
		}
	}
	w.n++
	w.lines = append(w.lines, srcLine{n: w.n, text: text, quoted: len(w.quotes) > 0})
}
