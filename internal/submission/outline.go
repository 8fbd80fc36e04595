package submission

import (
	"bytes"
	"slices"
	"strings"
)

// Outline is a letter of which only the beginning was read, ending inside a
// part that no password is looked for in: a document, a picture. It answers
// whether the whole letter can be a submission, given the MIME headers of the
// parts behind that one.
//
// It errs on one side only: what it can't be sure of is no Outline, or not
// Useless, and has to be read whole.
type Outline struct {
	beginning []byte // up to where the open part's content begins
	open      []openPart
}

// openPart is a multipart that goes on behind what was read.
type openPart struct {
	boundary string
	path     []int // of the multipart itself, in IMAP's numbering
	begun    int   // parts begun so far
}

// MaxUnseen is how many further parts of one multipart are asked for; a letter
// with more is read whole.
const MaxUnseen = 8

// NewOutline reads the beginning of an original message. ok is false when it
// ends in text, in a header, behind the last part, or anywhere unclear.
func NewOutline(beginning []byte) (o *Outline, ok bool) {
	head, _ := splitHeader(beginning)
	if !isMessageHead(head) {
		return nil, false
	}
	o = &Outline{}
	end, ok := o.walk(beginning, 0, nil, 0)
	if !ok {
		return nil, false
	}
	o.beginning = beginning[:end]
	return o, true
}

// walk follows the open parts of the entity that starts at raw[at]. It returns
// where the content of the innermost begins.
func (o *Outline) walk(raw []byte, at int, path []int, depth int) (end int, ok bool) {
	entity := raw[at:]
	if depth > maxDepth || !headerEnds(entity) {
		return 0, false
	}
	head, body := splitHeader(entity)
	mediaType, params := parseType(head["content-type"], "text/plain")
	if len(body) == len(entity) || unreadable(mediaType) {
		return 0, false
	}
	bodyAt := len(raw) - len(body)
	if !strings.HasPrefix(mediaType, "multipart/") {
		return bodyAt, true
	}
	kids, closed, ok := begunParts(body, params["boundary"])
	if !ok || closed && depth == 0 {
		return 0, false
	}
	if closed { // its parent goes on
		return len(raw), true
	}
	o.open = append(o.open, openPart{boundary: params["boundary"], path: path, begun: len(kids)})
	return o.walk(raw, bodyAt+kids[len(kids)-1], append(slices.Clone(path), len(kids)), depth+1)
}

// unreadable: text, which must be read to its end.
func unreadable(mediaType string) bool {
	return mediaType == "text/plain" || mediaType == "text/html" || !strings.Contains(mediaType, "/")
}

// headerEnds tells whether the empty line behind a header is there.
func headerEnds(entity []byte) bool {
	return bytes.Contains(entity, []byte("\n\r\n")) || bytes.Contains(entity, []byte("\n\n"))
}

// begunParts finds where the parts of a multipart begin, as splitParts does.
// ok is false when there is none, or when a delimiter is cut in two.
func begunParts(body []byte, boundary string) (starts []int, closed, ok bool) {
	if boundary == "" {
		return nil, false, false
	}
	pos := 0
	for rest := body; len(rest) > 0; {
		line, next := cutLine(rest)
		pos += len(line)
		rest = next
		after, is := bytes.CutPrefix(line, []byte("--"+boundary))
		if !is {
			if line[len(line)-1] != '\n' && bytes.HasPrefix([]byte("--"+boundary), bytes.TrimRight(line, "\r")) {
				return nil, false, false
			}
			continue
		}
		switch tail := string(bytes.TrimRight(after, " \t\r\n")); {
		case line[len(line)-1] != '\n':
			return nil, false, false
		case tail == "":
			starts = append(starts, pos)
		case tail == "--":
			return starts, true, len(starts) > 0
		}
		if len(starts) >= maxParts {
			return nil, false, false
		}
	}
	return starts, false, len(starts) > 0
}

// Unseen names the parts that may stand behind what was read, relative to the
// original message and in IMAP's numbering, some of which may not exist.
func (o *Outline) Unseen() [][]int {
	var parts [][]int
	for _, p := range o.open {
		for n := p.begun + 1; n <= p.begun+MaxUnseen; n++ {
			parts = append(parts, append(slices.Clone(p.path), n))
		}
	}
	return parts
}

// Harmless tells whether none of the unseen parts can hold text that is read.
// heads are their MIME headers in the order of Unseen; an empty one says that
// there is no such part.
func (o *Outline) Harmless(heads [][]byte) bool {
	if len(heads) != len(o.open)*MaxUnseen {
		return false
	}
	for level := range slices.Chunk(heads, MaxUnseen) {
		gone := false
		for _, raw := range level {
			if len(raw) == 0 {
				gone = true
				continue
			}
			head, rest := splitHeader(raw)
			mediaType, _ := parseType(head["content-type"], "text/plain")
			if gone || len(rest) != 0 || unreadable(mediaType) || strings.HasPrefix(mediaType, "multipart/") {
				return false
			}
		}
		if !gone {
			return false // there may be more
		}
	}
	return true
}

// Useless tells whether the letter is surely no submission, if the unseen
// parts are Harmless: the text is about something else, also if there are
// pictures and documents beside it. subject and mailbox are the certified
// ones, as far as they are known.
func (o *Outline) Useless(subject, mailbox string) bool {
	ends := ""
	for _, p := range slices.Backward(o.open) {
		ends += "\r\n--" + p.boundary + "--\r\n"
	}
	whole := slices.Concat(o.beginning, []byte(ends))
	l := unfold(whole, subject, mailbox)
	if l.dull() {
		return true
	}
	l.readTexts()
	l.images++
	l.docs++
	return l.verdict(&Result{Mailbox: mailbox}).state == None
}
