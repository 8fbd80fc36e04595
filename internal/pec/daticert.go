package pec

import (
	"errors"
	"fmt"
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

// How often each child may stand: "1", "?", "*" or "+", as in the DTD.
var (
	dtdRoot = map[string]string{"intestazione": "1", "dati": "1"}
	dtdHead = map[string]string{"mittente": "1", "destinatari": "+", "risposte": "1", "oggetto": "?"}
	dtdData = map[string]string{
		"gestore-emittente": "1", "data": "1", "identificativo": "1", "msgid": "?",
		"ricevuta": "?", "consegna": "?", "ricezione": "*", "errore-esteso": "?",
	}
	dtdMoment = map[string]string{"giorno": "1", "ora": "1"}
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
	d := &daticert{failure: "nessuno"}
	r.attributes(root, map[string]*string{"tipo": &d.kind, "errore": &d.failure})
	r.oneOf(d.failure, failureTypes)
	top := r.children(root, dtdRoot)
	if r.err != nil {
		return nil, r.err
	}
	d.readHead(&r, top["intestazione"][0])
	d.readData(&r, top["dati"][0])
	if r.err != nil {
		return nil, r.err
	}
	if d.kind == "" || d.id == "" || d.sender == "" {
		return nil, fmt.Errorf("%w: tipo, mittente or identificativo is empty", errDaticert)
	}
	return d, nil
}

func (d *daticert) readHead(r *dtdReader, e *element) {
	r.attributes(e, nil)
	c := r.children(e, dtdHead)
	d.sender = r.text(c["mittente"])
	d.replyTo = r.text(c["risposte"])
	d.subject = r.text(c["oggetto"])
	for _, to := range c["destinatari"] {
		rcpt := Recipient{Type: "certificato"}
		r.attributes(to, map[string]*string{"tipo": &rcpt.Type})
		r.oneOf(rcpt.Type, recipientTypes)
		r.leaf(to)
		rcpt.Address = to.text
		d.recipients = append(d.recipients, rcpt)
	}
}

func (d *daticert) readData(r *dtdReader, e *element) {
	r.attributes(e, nil)
	c := r.children(e, dtdData)
	d.provider = r.text(c["gestore-emittente"])
	d.id = stripBrackets(r.text(c["identificativo"]))
	d.msgid = r.text(c["msgid"])
	d.delivery = r.text(c["consegna"])
	d.extended = r.text(c["errore-esteso"])
	for _, t := range c["ricezione"] {
		r.attributes(t, nil)
		r.leaf(t)
		d.taken = append(d.taken, t.text)
	}
	for _, t := range c["ricevuta"] {
		r.attributes(t, map[string]*string{"tipo": &d.receipt})
		r.oneOf(d.receipt, receiptTypes)
		if t.text != "" || len(t.children) > 0 {
			r.fail("ricevuta is not empty")
		}
	}
	for _, t := range c["data"] {
		r.attributes(t, map[string]*string{"zona": &d.zone})
		day := r.children(t, dtdMoment)
		at, ok := parseMoment(r.text(day["giorno"]), r.text(day["ora"]), d.zone)
		if !ok {
			r.fail("date, time or zone can't be read")
		}
		d.sentAt = at
	}
}

// dtdReader keeps the first error, so that the rules read like the DTD.
type dtdReader struct{ err error }

func (r *dtdReader) fail(what string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", errDaticert, what)
	}
}

// attributes stores the attributes that an element may have.
func (r *dtdReader) attributes(e *element, known map[string]*string) {
	for _, a := range e.attrs {
		to, ok := known[a.name]
		if !ok {
			r.fail("attribute that " + e.name + " does not have")
			continue
		}
		*to = a.value
	}
}

func (r *dtdReader) oneOf(value string, allowed []string) {
	for _, a := range allowed {
		if value == a {
			return
		}
	}
	r.fail("attribute value outside its list")
}

// children sorts the children of e by name and checks how many there are:
// "1", "?", "*" or "+".
func (r *dtdReader) children(e *element, counts map[string]string) map[string][]*element {
	if e.text != "" {
		r.fail("text in " + e.name)
	}
	found := map[string][]*element{}
	for _, c := range e.children {
		if _, ok := counts[c.name]; !ok {
			r.fail("element that " + e.name + " does not have")
		}
		found[c.name] = append(found[c.name], c)
	}
	for name, count := range counts {
		n := len(found[name])
		if n == 0 && (count == "1" || count == "+") || n > 1 && (count == "1" || count == "?") {
			r.fail(fmt.Sprintf("%s occurs %d times", name, n))
		}
	}
	return found
}

// text is the value of the only element in list, "" when there is none.
func (r *dtdReader) text(list []*element) string {
	if len(list) == 0 {
		return ""
	}
	r.attributes(list[0], nil)
	r.leaf(list[0])
	return list[0].text
}

func (r *dtdReader) leaf(e *element) {
	if len(e.children) > 0 || e.comments {
		r.fail("element or comment inside " + e.name)
	}
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
