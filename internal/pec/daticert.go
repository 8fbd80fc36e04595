package pec

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// daticert is the content of daticert.xml.
type daticert struct {
	kind       string // tipo
	failure    string // errore
	sender     string
	recipients []Recipient
	replyTo    string
	subject    string
	provider   string
	sentAt     time.Time // UTC
	zone       string    // as written
	id         string    // identificativo, without <>
	msgid      string    // with <>, "" when absent
	receipt    string    // ricevuta/@tipo
	delivery   string
	taken      []string // ricezione
	extended   string
}

var errDaticert = errors.New("bad certification data")

// Attribute values of the DTD. The values of tipo are not closed here: another
// one is a mismatch, not a broken document.
var (
	recipientTypes = []string{"certificato", "esterno"}
	receiptTypes   = []string{"completa", "breve", "sintetica"}
	failureTypes   = []string{"nessuno", "no-dest", "no-dominio", "virus", "altro"}
)

// childRule says how often a child may stand: "1", "?", "*" or "+", as in the
// DTD.
type childRule struct{ name, count string }

var (
	dtdRoot = []childRule{{"intestazione", "1"}, {"dati", "1"}}
	dtdHead = []childRule{{"mittente", "1"}, {"destinatari", "+"}, {"risposte", "1"}, {"oggetto", "?"}}
	dtdData = []childRule{
		{"gestore-emittente", "1"}, {"data", "1"}, {"identificativo", "1"}, {"msgid", "?"},
		{"ricevuta", "?"}, {"consegna", "?"}, {"ricezione", "*"}, {"errore-esteso", "?"},
	}
	dtdMoment = []childRule{{"giorno", "1"}, {"ora", "1"}}
)

// parseDaticert reads certification data and holds it to the DTD: each element
// where and as often as it may stand, no other elements and attributes. The
// order of siblings is not looked at.
//
// Source: RFC 6109 §4.4.
func parseDaticert(b []byte) (*daticert, error) {
	root, err := parseXML(b)
	if err != nil {
		return nil, err
	}
	if root.name != "postacert" {
		return nil, fmt.Errorf("%w: root element is not postacert", errDaticert)
	}
	r := dtdReader{}
	d := &daticert{}
	r.attributes(root, "tipo", "errore")
	d.kind = root.attribute("tipo", "")
	d.failure = root.attribute("errore", "nessuno")
	r.oneOf(d.failure, failureTypes)
	r.children(root, dtdRoot)
	for _, e := range root.children {
		switch e.name {
		case "intestazione":
			d.readHead(&r, e)
		case "dati":
			d.readData(&r, e)
		}
	}
	if r.err != nil {
		return nil, r.err
	}
	if d.kind == "" || d.id == "" || d.sender == "" {
		return nil, fmt.Errorf("%w: tipo, mittente or identificativo is empty", errDaticert)
	}
	return d, nil
}

func (d *daticert) readHead(r *dtdReader, e *element) {
	r.attributes(e)
	r.children(e, dtdHead)
	for _, c := range e.children {
		switch c.name {
		case "mittente":
			d.sender = r.text(c)
		case "risposte":
			d.replyTo = r.text(c)
		case "oggetto":
			d.subject = r.text(c)
		case "destinatari":
			r.attributes(c, "tipo")
			rcpt := Recipient{Address: r.leaf(c), Type: c.attribute("tipo", "certificato")}
			r.oneOf(rcpt.Type, recipientTypes)
			d.recipients = append(d.recipients, rcpt)
		}
	}
}

func (d *daticert) readData(r *dtdReader, e *element) {
	r.attributes(e)
	r.children(e, dtdData)
	for _, c := range e.children {
		switch c.name {
		case "gestore-emittente":
			d.provider = r.text(c)
		case "identificativo":
			d.id = stripBrackets(r.text(c))
		case "msgid":
			d.msgid = r.text(c)
		case "consegna":
			d.delivery = r.text(c)
		case "errore-esteso":
			d.extended = r.text(c)
		case "ricezione":
			d.taken = append(d.taken, r.text(c))
		case "ricevuta":
			r.attributes(c, "tipo")
			d.receipt = c.attribute("tipo", "")
			r.oneOf(d.receipt, receiptTypes)
			if r.leaf(c) != "" {
				r.fail("ricevuta is not empty")
			}
		case "data":
			d.readMoment(r, c)
		}
	}
}

func (d *daticert) readMoment(r *dtdReader, e *element) {
	r.attributes(e, "zona")
	r.children(e, dtdMoment)
	d.zone = e.attribute("zona", "")
	day, clock := "", ""
	for _, c := range e.children {
		switch c.name {
		case "giorno":
			day = r.text(c)
		case "ora":
			clock = r.text(c)
		}
	}
	at, ok := parseMoment(day, clock, d.zone)
	if !ok {
		r.fail("date, time or zone can't be read")
	}
	d.sentAt = at
}

// dtdReader keeps the first error, so that the rules read like the DTD.
type dtdReader struct{ err error }

func (r *dtdReader) fail(what string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", errDaticert, what)
	}
}

// attributes checks that an element has no others than these.
func (r *dtdReader) attributes(e *element, known ...string) {
	for _, a := range e.attrs {
		if !slices.Contains(known, a.name) {
			r.fail("attribute that " + e.name + " does not have")
		}
	}
}

func (e *element) attribute(name, byDefault string) string {
	if value, ok := lookup(e.attrs, name); ok {
		return value
	}
	return byDefault
}

func (r *dtdReader) oneOf(value string, allowed []string) {
	if !slices.Contains(allowed, value) {
		r.fail("attribute value outside its list")
	}
}

// children checks which children an element has, and how many of each.
func (r *dtdReader) children(e *element, rules []childRule) {
	if e.text != "" {
		r.fail("text in " + e.name)
	}
	known := 0
	for _, rule := range rules {
		n := 0
		for _, c := range e.children {
			if c.name == rule.name {
				n++
			}
		}
		known += n
		if n == 0 && (rule.count == "1" || rule.count == "+") || n > 1 && (rule.count == "1" || rule.count == "?") {
			r.fail(fmt.Sprintf("%s occurs %d times", rule.name, n))
		}
	}
	if known < len(e.children) {
		r.fail("element that " + e.name + " does not have")
	}
}

// text is the value of an element without attributes, leaf that of any.
func (r *dtdReader) text(e *element) string {
	r.attributes(e)
	return r.leaf(e)
}

func (r *dtdReader) leaf(e *element) string {
	if len(e.children) > 0 || e.comments {
		r.fail("element or comment inside " + e.name)
	}
	return e.text
}

// parseMoment reads dd/mm/yyyy, hh:mm:ss and a zone +hhmm, which real
// providers also write +hh:mm, and both in brackets.
func parseMoment(day, clock, zone string) (time.Time, bool) {
	leap := time.Duration(0)
	if strings.HasSuffix(clock, ":60") { // a leap second, RFC 6109 §4.2
		clock, leap = clock[:len(clock)-2]+"59", time.Second
	}
	local, err := time.Parse("02/01/2006 15:04:05", day+" "+clock)
	if err != nil || len(day) != 10 || len(clock) != 8 {
		return time.Time{}, false
	}
	zone = strings.TrimSpace(zone)
	if strings.HasPrefix(zone, "(") && strings.HasSuffix(zone, ")") {
		zone = zone[1 : len(zone)-1]
	}
	if len(zone) == 6 && zone[3] == ':' {
		zone = zone[:3] + zone[4:]
	}
	if len(zone) != 5 || zone[0] != '+' && zone[0] != '-' {
		return time.Time{}, false
	}
	hours, err1 := strconv.ParseUint(zone[1:3], 10, 8)
	minutes, err2 := strconv.ParseUint(zone[3:5], 10, 8)
	if err1 != nil || err2 != nil || hours > 14 || minutes > 59 {
		return time.Time{}, false
	}
	offset := time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute
	if zone[0] == '-' {
		offset = -offset
	}
	return local.Add(leap - offset), true
}

func stripBrackets(id string) string {
	if strings.HasPrefix(id, "<") && strings.HasSuffix(id, ">") && len(id) > 2 {
		return id[1 : len(id)-1]
	}
	return id
}
