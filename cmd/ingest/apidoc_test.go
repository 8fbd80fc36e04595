package main

import (
	"flag"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

var updateDocs = flag.Bool("update", false, "rewrite docs/api.md")

const apiDoc = "../../docs/api.md"

// docs/api.md is made of the table of endpoints, so that it can't drift.
func TestAPIDoc(t *testing.T) {
	want := describeAPI()
	if *updateDocs {
		if err := os.WriteFile(apiDoc, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(apiDoc)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("docs/api.md is not what the endpoints are: run go test ./cmd/ingest -run TestAPIDoc -update")
	}
}

// Names are unique, and readers get what the contract names, no more.
func TestEndpointRights(t *testing.T) {
	seen := map[string]bool{}
	var readers []string
	for _, e := range endpoints(nil, nil) {
		if seen[e.Name] {
			t.Errorf("%s is there twice", e.Name)
		}
		seen[e.Name] = true
		switch e.Right.String() {
		case "reader":
			readers = append(readers, e.Name)
		case "admin":
		default:
			t.Errorf("%s: got right %s", e.Name, e.Right)
		}
	}
	slices.Sort(readers)
	if want := []string{"daemon", "get", "history", "metrics", "page.link", "profile", "status", "waiting"}; !slices.Equal(readers, want) {
		t.Errorf("readers may call %v, want %v", readers, want)
	}
}

const apiHead = `# The socket's API

The running service answers on the unix socket that ` + "`web.socket`" + ` names. A request is
` + "`POST /v1/NAME`" + ` (HTTP/1.1) with a JSON object as body, at most 4 MiB, its length
given; the answer is JSON. Commands use it whenever a service runs.

Who calls is known from the kernel (SO_PEERCRED, SO_PEERGROUPS) at the moment
of connecting and is what the audit log names. Members of ` + "`web.readers`" + ` may ask
for what says *reader*, members of ` + "`web.admins`" + ` for everything, root and the
service's own account always. Others are refused, and the audit log gets an
entry, one a minute and user. Without such groups the socket's mode is 0660,
else 0666: a file has one group only, and the mode decides nothing then.

| status | body |
|---|---|
| 200 | the answer |
| 400 | ` + "`{class,msg,hint}`" + `: the request is not JSON, too long, or did not arrive whole |
| 403 | class ` + "`not-permitted`" + ` |
| 404 | class ` + "`usage`" + `: the service does not know this request |
| 422 | the request failed: class ` + "`failed usage not-found needs-person no-vault bad-config not-permitted`" + ` |
| 503 | class ` + "`busy`" + `: more than 256 connections, or 64 of one user who is no admin |

A field that the service does not know is an error. Bytes are base64; times are
RFC 3339, days are 00:00 UTC, ` + "`0001-01-01T00:00:00Z`" + ` is none. What a call began is
finished when the caller hangs up. Answers that hold a secret are not kept and
not logged.

A stream is application/octet-stream in chunks, of any length. After the last
byte comes the trailer field ` + "`Ingest-Stream`" + `:
` + "`{length: number, sha256: string, result: …}`" + `. Without it, or when it does not
fit, the answer broke off.

To ` + "`get`" + ` with ` + "`Accept: text/plain`" + ` the answer is the password alone and a newline,
as text/plain; refusals are JSON as always.

This file is made by ` + "`go test ./cmd/ingest -run TestAPIDoc -update`" + `.

`

func describeAPI() string {
	var b strings.Builder
	b.WriteString(apiHead)
	for _, e := range endpoints(nil, nil) {
		right := e.Right.String()
		if e.Also == rightOTP {
			right += ", or a group of `otp.readers`"
		}
		answer := "`" + shape(e.out, 0) + "`"
		if e.stream {
			answer = "a stream; result " + answer
		}
		fmt.Fprintf(&b, "## %s\n\n%s Right: %s.\n\n- request: `%s`\n- answer: %s\n\n", e.Name, e.doc, right, shape(e.in, 0), answer)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// shape writes a type as its JSON looks.
func shape(t reflect.Type, depth int) string {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return "time"
	case t == reflect.TypeFor[[]byte]():
		return "bytes"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return shape(t.Elem(), depth) + "|null"
	case reflect.Slice:
		return "[" + shape(t.Elem(), depth) + "]"
	case reflect.Struct:
		return "{" + strings.Join(fields(t, depth), ", ") + "}"
	case reflect.Int, reflect.Int64, reflect.Uint32:
		return "number"
	case reflect.Bool:
		return "bool"
	case reflect.String:
		return "string"
	}
	return t.Kind().String()
}

func fields(t reflect.Type, depth int) []string {
	var list []string
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-" || !f.IsExported():
		case f.Anonymous && name == "":
			list = append(list, fields(f.Type, depth)...)
		case t.Name() == "Approval" && (f.Name == "Actor" || f.Name == "Typed"):
		default:
			if name == "" {
				name = f.Name
			}
			list = append(list, name+": "+shape(f.Type, depth+1))
		}
	}
	return list
}
