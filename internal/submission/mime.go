package submission

import (
	"bytes"
	"mime"
	"strings"
)

// Limits on what is read of one message. PEC allows 30 MB; a letter is small.
const (
	maxDepth  = 12
	maxParts  = 100
	maxHeader = 64 << 10
	maxText   = 256 << 10 // of one text part, decoded
)

// part is one leaf of a MIME tree.
type part struct {
	mediaType string // lower case
	params    map[string]string
	encoding  string // Content-Transfer-Encoding, lower case
	attached  bool   // Content-Disposition: attachment, or has a file name and is no plain body
	name      string // file name, decoded, "" none
	inline    bool   // has a Content-ID: shown within the HTML
	related   bool   // inside multipart/related
	body      []byte // still encoded
}

// tree is a message taken apart.
type tree struct {
	subject string // of the original message, decoded
	from    string // the From field, decoded
	parts   []part
	notes   []string
}

// parseMessage takes a message apart. go-message refuses a whole message for
// one bad header line and has no limit on part headers, so that the tree is
// walked here; broken input yields what can be read of it.
func parseMessage(raw []byte) *tree {
	t := &tree{}
	head, body := splitHeader(raw)
	if !isMessageHead(head) {
		head, body = map[string]string{}, raw // text without a header, whose first line has a colon
	}
	t.subject = decodeHeader(head["subject"])
	t.from = decodeHeader(head["from"])
	t.walk(head, body, 0, false)
	return t
}

// isMessageHead: has at least one field that messages have.
func isMessageHead(head map[string]string) bool {
	for _, f := range []string{"from", "content-type", "subject", "date", "to", "received", "mime-version", "message-id"} {
		if _, ok := head[f]; ok {
			return true
		}
	}
	return false
}

func (t *tree) walk(head map[string]string, body []byte, depth int, related bool) {
	if len(t.parts) >= maxParts || depth > maxDepth {
		t.notes = append(t.notes, NoteBrokenMIME)
		return
	}
	mediaType, params := parseType(head["content-type"], "text/plain")
	disposition, dparams := parseType(head["content-disposition"], "")
	name := decodeHeader(dparams["filename"])
	if name == "" {
		name = decodeHeader(params["name"])
	}
	p := part{
		mediaType: mediaType,
		params:    params,
		encoding:  strings.ToLower(strings.TrimSpace(head["content-transfer-encoding"])),
		attached:  disposition == "attachment" || name != "",
		name:      name,
		inline:    head["content-id"] != "",
		related:   related,
		body:      body,
	}
	if !strings.HasPrefix(mediaType, "multipart/") {
		t.parts = append(t.parts, p)
		return
	}
	kids := splitParts(body, params["boundary"])
	if len(kids) == 0 {
		t.notes = append(t.notes, NoteBrokenMIME)
		p.mediaType = "text/plain"
		t.parts = append(t.parts, p)
		return
	}
	for _, kid := range kids {
		h, b := splitHeader(kid)
		t.walk(h, b, depth+1, related || mediaType == "multipart/related")
	}
}

// splitHeader reads the header fields of an entity; of a field that is there
// twice the first counts. Lines that are no field are passed over.
func splitHeader(raw []byte) (map[string]string, []byte) {
	head := map[string]string{}
	last := ""
	rest := raw
	first := true
	for len(rest) > 0 && len(raw)-len(rest) < maxHeader {
		line, next := cutLine(rest)
		if len(bytes.TrimRight(line, "\r\n")) == 0 {
			return head, next
		}
		text := strings.TrimRight(string(line), "\r\n")
		if text[0] == ' ' || text[0] == '\t' {
			if last != "" && head[last] != "" && len(head[last]) < 8192 {
				head[last] += " " + strings.TrimSpace(text)
			}
			rest, first = next, false
			continue
		}
		name, value, ok := strings.Cut(text, ":")
		name = strings.ToLower(strings.TrimSpace(name))
		if !ok || strings.ContainsAny(name, " \t") {
			if first && !strings.HasPrefix(text, "From ") {
				return head, raw // no header at all
			}
			last = ""
		} else if _, dup := head[name]; dup {
			last = ""
		} else {
			last = name
			head[name] = strings.TrimSpace(value)
		}
		rest, first = next, false
	}
	return head, rest
}

func cutLine(b []byte) (line, rest []byte) {
	i := bytes.IndexByte(b, '\n')
	if i < 0 {
		return b, nil
	}
	return b[:i+1], b[i+1:]
}

// splitParts cuts a multipart body at its delimiter lines: exactly the
// boundary, an optional "--", white space (RFC 2046 §5.1.1). A missing end is
// tolerated.
func splitParts(body []byte, boundary string) [][]byte {
	if boundary == "" {
		return nil
	}
	var kids [][]byte
	start := -1
	pos := 0
	for rest := body; len(rest) > 0; {
		line, next := cutLine(rest)
		if after, ok := bytes.CutPrefix(line, []byte("--"+boundary)); ok {
			tail := string(bytes.TrimRight(after, " \t\r\n"))
			if tail == "" || tail == "--" {
				if start >= 0 {
					kids = append(kids, trimEOL(body[start:pos]))
				}
				start = pos + len(line)
				if tail == "--" {
					return kids
				}
				if len(kids) >= maxParts {
					return kids
				}
			}
		}
		pos += len(line)
		rest = next
	}
	if start >= 0 && start < len(body) {
		kids = append(kids, body[start:])
	}
	return kids
}

// trimEOL removes the one line end that belongs to the delimiter.
func trimEOL(b []byte) []byte {
	b = bytes.TrimSuffix(b, []byte("\n"))
	return bytes.TrimSuffix(b, []byte("\r"))
}

var looseParam = newPattern(`(?i)\b(boundary|charset|name|filename|format|delsp)\s*=\s*("[^"]*"|[^;\s]+)`)

// parseType reads a Content-Type or Content-Disposition, also one that the
// standard refuses (an unquoted boundary with "=").
func parseType(field, missing string) (string, map[string]string) {
	if strings.TrimSpace(field) == "" {
		return missing, map[string]string{}
	}
	kind, params, err := mime.ParseMediaType(field)
	if err == nil {
		return kind, params
	}
	kind, rest, _ := strings.Cut(field, ";")
	kind = strings.ToLower(strings.TrimSpace(kind))
	params = map[string]string{}
	for _, m := range looseParam.FindAllStringSubmatch(rest, 20) {
		params[strings.ToLower(m[1])] = strings.Trim(m[2], `"`)
	}
	if kind == "" || (missing != "" && !strings.Contains(kind, "/")) {
		kind = missing
	}
	return kind, params
}
