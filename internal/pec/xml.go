package pec

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

var errXML = errors.New("bad XML")

// element is an XML element of daticert.xml. An element holds either children
// or text.
type element struct {
	name     string
	attrs    []param
	children []*element
	text     string
	comments bool // or processing instructions inside
}

// Limits: postacert, intestazione, dati, data are all levels that there are.
const (
	maxXMLDepth    = 4
	maxXMLElements = 20000
	maxXMLBytes    = 8 << 20
)

// parseXML reads the small, strict subset of XML that certification data is
// written in: UTF-8, no DTD, no namespaces, no comment or processing
// instruction inside a value, only the five predefined entities and character
// references. What generic parsers let pass differently is an error here.
//
// Source: XML 1.0 §2.1 to §2.8, §4.1; RFC 6109 §4.4.
func parseXML(b []byte) (*element, error) {
	p := xmlParser{s: bytes.TrimPrefix(b, []byte("\ufeff"))}
	if bytes.IndexByte(p.s, '\r') >= 0 { // XML 1.0 §2.11
		p.s = bytes.ReplaceAll(p.s, []byte("\r\n"), []byte("\n"))
		p.s = bytes.ReplaceAll(p.s, []byte("\r"), []byte("\n"))
	}
	if len(b) > maxXMLBytes || !validXMLText(p.s) {
		return nil, fmt.Errorf("%w: size, encoding or control characters", errXML)
	}
	if err := p.declaration(); err != nil {
		return nil, err
	}
	p.misc()
	root, err := p.element(1)
	if err != nil {
		return nil, err
	}
	p.misc()
	if p.i != len(p.s) {
		return nil, p.fail("text after the document")
	}
	return root, nil
}

// validXMLText wants UTF-8 and only characters that XML allows.
func validXMLText(b []byte) bool {
	if !utf8.Valid(b) {
		return false
	}
	for i, c := range b {
		if c < 0x20 && c != '\t' && c != '\n' && c != '\r' {
			return false
		}
		if c == 0xEF && i+2 < len(b) && b[i+1] == 0xBF && (b[i+2] == 0xBE || b[i+2] == 0xBF) {
			return false // U+FFFE, U+FFFF
		}
	}
	return true
}

// knownNames are the names of the DTD, each under itself: looking a name up
// there makes no new string.
var knownNames = func() map[string]string {
	known := map[string]string{}
	for _, n := range []string{
		"postacert", "tipo", "errore", "intestazione", "mittente", "destinatari", "risposte", "oggetto",
		"dati", "gestore-emittente", "data", "zona", "giorno", "ora", "identificativo", "msgid",
		"ricevuta", "consegna", "ricezione", "errore-esteso", "version", "encoding",
	} {
		known[n] = n
	}
	return known
}()

type xmlParser struct {
	s        []byte
	i        int
	elements int
}

func (p *xmlParser) fail(what string) error {
	return fmt.Errorf("%w: %s at byte %d", errXML, what, p.i)
}

func (p *xmlParser) has(prefix string) bool {
	return len(p.s)-p.i >= len(prefix) && string(p.s[p.i:p.i+len(prefix)]) == prefix
}

func (p *xmlParser) blanks() bool {
	start := p.i
	for p.i < len(p.s) && isXMLBlank(p.s[p.i]) {
		p.i++
	}
	return p.i > start
}

func isXMLBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// skipTo moves behind the next occurrence of mark.
func (p *xmlParser) skipTo(mark string) bool {
	n := bytes.Index(p.s[p.i:], []byte(mark))
	if n < 0 {
		return false
	}
	p.i += n + len(mark)
	return true
}

// declaration reads "<?xml version=… encoding=…?>", if there is one.
func (p *xmlParser) declaration() error {
	if !p.has("<?xml") || p.i+5 >= len(p.s) || !isXMLBlank(p.s[p.i+5]) {
		return nil
	}
	p.i += len("<?xml")
	attrs, err := p.attributes()
	if err != nil {
		return err
	}
	if !p.has("?>") {
		return p.fail("unfinished declaration")
	}
	p.i += 2
	if len(attrs) == 0 || attrs[0].name != "version" {
		return p.fail("declaration without a version")
	}
	for _, a := range attrs {
		switch {
		case a.name == "version" && a.value == "1.0":
		case a.name == "encoding" && asciiEqualFold(a.value, "utf-8"):
		case a.name == "standalone" && (a.value == "yes" || a.value == "no"):
		default:
			return p.fail("declaration other than XML 1.0 in UTF-8")
		}
	}
	return nil
}

// misc skips blanks, comments and processing instructions between elements. It
// stops before what is none of these, or a broken one.
func (p *xmlParser) misc() {
	for {
		p.blanks()
		start := p.i
		switch {
		case p.has("<!--"):
			p.i += 4
			// No "--" inside a comment. XML 1.0 §2.5.
			if !p.skipTo("--") || !p.has(">") {
				p.i = start
				return
			}
			p.i++
		case p.has("<?"):
			p.i += 2
			target := p.name()
			// XML 1.0 §2.6.
			if target == "" || !isXMLNameStart(target[0]) || asciiEqualFold(target, "xml") ||
				!p.has("?>") && !p.blanks() || !p.skipTo("?>") {
				p.i = start
				return
			}
		default:
			return
		}
	}
}

func isXMLNameStart(c byte) bool {
	c = asciiLower(c)
	return 'a' <= c && c <= 'z' || c == '_'
}

// name reads an element or attribute name. ":" is no part of one: namespaces
// are not allowed.
func (p *xmlParser) name() string {
	start := p.i
	for p.i < len(p.s) {
		c := asciiLower(p.s[p.i])
		if !isAlnum(c) && c != '-' && c != '_' && c != '.' {
			break
		}
		p.i++
	}
	if known, ok := knownNames[string(p.s[start:p.i])]; ok {
		return known // without an allocation
	}
	return string(p.s[start:p.i])
}

func (p *xmlParser) attributes() ([]param, error) {
	var attrs []param
	for {
		blank := p.blanks()
		if p.i >= len(p.s) || p.s[p.i] == '>' || p.s[p.i] == '/' || p.s[p.i] == '?' {
			return attrs, nil
		}
		name := p.name()
		if name == "" || !blank || len(attrs) > 8 {
			return nil, p.fail("bad attribute")
		}
		p.blanks()
		if !p.has("=") {
			return nil, p.fail("attribute without a value")
		}
		p.i++
		p.blanks()
		if p.i >= len(p.s) || p.s[p.i] != '"' && p.s[p.i] != '\'' {
			return nil, p.fail("attribute without quotes")
		}
		quote := p.s[p.i]
		p.i++
		end := bytes.IndexByte(p.s[p.i:], quote)
		if end < 0 || bytes.IndexByte(p.s[p.i:p.i+end], '<') >= 0 {
			return nil, p.fail("unfinished attribute")
		}
		value, err := p.unescape(p.s[p.i : p.i+end])
		if err != nil {
			return nil, err
		}
		p.i += end + 1
		if _, twice := lookup(attrs, name); twice {
			return nil, p.fail("attribute occurs twice")
		}
		attrs = append(attrs, param{name, value})
	}
}

// element reads one element, p.i at its "<".
func (p *xmlParser) element(depth int) (*element, error) {
	if p.elements++; p.elements > maxXMLElements || depth > maxXMLDepth {
		return nil, p.fail("too many or too deep elements")
	}
	if !p.has("<") {
		return nil, p.fail("no element")
	}
	p.i++
	e := &element{name: p.name()}
	if e.name == "" {
		return nil, p.fail("bad element name")
	}
	var err error
	if e.attrs, err = p.attributes(); err != nil {
		return nil, err
	}
	if p.has("/>") {
		p.i += 2
		return e, nil
	}
	if !p.has(">") {
		return nil, p.fail("unfinished tag")
	}
	p.i++
	if err := p.content(e, depth); err != nil {
		return nil, err
	}
	if p.name() != e.name {
		return nil, p.fail("end tag of another element")
	}
	p.blanks()
	if !p.has(">") {
		return nil, p.fail("unfinished end tag")
	}
	p.i++
	return e, nil
}

// content reads up to and including "</".
func (p *xmlParser) content(e *element, depth int) error {
	var text xmlText
	for {
		switch {
		case p.i >= len(p.s):
			return p.fail("unfinished element")
		case p.has("</"):
			p.i += 2
			e.text = strings.Trim(text.String(), " \t\r\n")
			if e.text != "" && (e.comments || len(e.children) > 0) {
				return p.fail("text beside comments or elements")
			}
			return nil
		case p.has("<![CDATA["):
			p.i += len("<![CDATA[")
			start := p.i
			if !p.skipTo("]]>") {
				return p.fail("unfinished CDATA")
			}
			text.add(string(p.s[start : p.i-3]))
		case p.has("<!--"), p.has("<?"):
			at := p.i
			p.misc()
			if p.i == at {
				return p.fail("unfinished comment")
			}
			e.comments = true
		case p.has("<!"):
			return p.fail("declaration inside an element")
		case p.has("<"):
			child, err := p.element(depth + 1)
			if err != nil {
				return err
			}
			if e.children == nil {
				e.children = make([]*element, 0, 8)
			}
			e.children = append(e.children, child)
		default:
			end := bytes.IndexByte(p.s[p.i:], '<')
			if end < 0 {
				return p.fail("unfinished element")
			}
			if text.empty() { // most text is white space between elements
				for end > 0 && isXMLBlank(p.s[p.i]) {
					p.i++
					end--
				}
				if end == 0 {
					continue
				}
			}
			piece := p.s[p.i : p.i+end]
			if bytes.Contains(piece, []byte("]]>")) { // XML 1.0 §2.4
				return p.fail("end of CDATA in a text")
			}
			t, err := p.unescape(piece)
			if err != nil {
				return err
			}
			text.add(t)
			p.i += end
		}
	}
}

// xmlText gathers the text of an element, which is nearly always one piece.
type xmlText struct {
	first string
	more  []byte // first and all that follows, once there are several
}

func (t *xmlText) empty() bool { return t.first == "" && t.more == nil }

func (t *xmlText) add(piece string) {
	if t.empty() {
		t.first = piece
		return
	}
	if t.more == nil {
		t.more = []byte(t.first)
	}
	t.more = append(t.more, piece...)
}

func (t *xmlText) String() string {
	if t.more != nil {
		return string(t.more)
	}
	return t.first
}

var entities = map[string]string{"amp": "&", "lt": "<", "gt": ">", "quot": `"`, "apos": "'"}

func (p *xmlParser) unescape(b []byte) (string, error) {
	if bytes.IndexByte(b, '&') < 0 {
		return string(b), nil
	}
	var out strings.Builder
	for len(b) > 0 {
		amp := bytes.IndexByte(b, '&')
		if amp < 0 {
			out.Write(b)
			break
		}
		out.Write(b[:amp])
		b = b[amp+1:]
		end := bytes.IndexByte(b[:min(len(b), 12)], ';')
		if end < 1 {
			return "", p.fail("unfinished reference")
		}
		name := string(b[:end])
		b = b[end+1:]
		if text, ok := entities[name]; ok {
			out.WriteString(text)
			continue
		}
		r, ok := characterReference(name)
		if !ok {
			return "", p.fail("unknown entity")
		}
		out.WriteRune(r)
	}
	return out.String(), nil
}

func characterReference(name string) (rune, bool) {
	digits, base := strings.TrimPrefix(name, "#"), 10
	if digits == name || strings.ContainsAny(digits, "+-_") {
		return 0, false
	}
	if strings.HasPrefix(digits, "x") {
		digits, base = digits[1:], 16
	}
	n, err := strconv.ParseUint(digits, base, 32)
	r := rune(n)
	if err != nil || n > utf8.MaxRune || !utf8.ValidRune(r) || n < 0x20 && n != '\t' && n != '\n' && n != '\r' ||
		n == 0xfffe || n == 0xffff {
		return 0, false
	}
	return r, true
}
