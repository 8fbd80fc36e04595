package quickget_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"pec-ingest/internal/config"
	"pec-ingest/internal/quickget"
)

func TestParse(t *testing.T) {
	const std = quickget.DefaultConfig
	tests := []struct {
		args, env              string
		config, mailbox, login string // mailbox "" = for the command
	}{
		{args: "get a@b.it", config: std, mailbox: "a@b.it"},
		{args: "get a@b.it", env: "x.toml", config: "x.toml", mailbox: "a@b.it"},
		{args: "--config c.toml get a@b.it", env: "x.toml", config: "c.toml", mailbox: "a@b.it"},
		{args: "get --config=c.toml a@b.it", config: "c.toml", mailbox: "a@b.it"},
		{args: "get a@b.it --login M123 --config c.toml", config: "c.toml", mailbox: "a@b.it", login: "M123"},
		{args: "get --login=M123 a@b.it", config: std, mailbox: "a@b.it", login: "M123"},
		{args: "get A@B.IT", config: std, mailbox: "A@B.IT"},
		{args: ""},
		{args: "get"},
		{args: "get a@b.it c@d.it"},
		{args: "set a@b.it"},
		{args: "history a@b.it"},
		{args: "a@b.it get"},
		{args: "get a@b.it --json"},
		{args: "get a@b.it --wait"},
		{args: "get --help"},
		{args: "help get"},
		{args: "get -h a@b.it"},
		{args: "--log-level debug get a@b.it"},
		{args: "--login M123 get a@b.it"}, // a flag of the command, before it
		{args: "get a@b.it --login"},
		{args: "get a@b.it --login="},
		{args: "get a@b.it --login --config c.toml"},
		{args: "get a@b.it --login M1 --login M2"},
		{args: "get a@b.it --config"},
		{args: "get -- a@b.it"},
		{args: "get -a@b.it"},
		{args: `get "a"@b.it`},
		{args: `get a\@b.it`},
		{args: "get perché@b.it"},
		{args: "get a@b.it --login città"},
	}
	for _, tt := range tests {
		config, mailbox, login, ok := quickget.Parse(strings.Fields(tt.args), tt.env)
		if ok != (tt.mailbox != "") {
			t.Errorf("%q: got plain = %v, want %v", tt.args, ok, !ok)
		}
		if ok && (config != tt.config || mailbox != tt.mailbox || login != tt.login) {
			t.Errorf("%q: got %q %q %q, want %q %q %q", tt.args, config, mailbox, login, tt.config, tt.mailbox, tt.login)
		}
	}
	for _, args := range [][]string{{"get", ""}, {"get", "a b@c.it"}, {"", "a@b.it"}, {"get", "a@b.it\n"}} {
		if _, _, _, ok := quickget.Parse(args, ""); ok {
			t.Errorf("%q: got plain, want it left to the command", args)
		}
	}
}

// The request is one that Go's server understands.
func TestRequest(t *testing.T) {
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(quickget.Request("a@b.it", "M123"))))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil || int64(len(body)) != r.ContentLength {
		t.Fatalf("got %d bytes of body (%v), want %d", len(body), err, r.ContentLength)
	}
	var in map[string]string
	if err := json.Unmarshal(body, &in); err != nil || len(in) != 2 || in["mailbox"] != "a@b.it" || in["login"] != "M123" {
		t.Errorf("got body %q (%v)", body, err)
	}
	if got := r.Method + " " + r.URL.Path + " " + r.Header.Get("Accept"); got != "POST /v1/get text/plain" {
		t.Errorf("got %q", got)
	}
}

func TestRead(t *testing.T) {
	const text = "Content-Type: text/plain\r\n"
	tests := []struct{ name, answer, line, refusal string }{
		{"password", "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\n" + text + "Date: x\r\n\r\npw\n", "pw\n", ""},
		{"last field", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n" + text + "\r\npw\n", "pw\n", ""},
		{"odd password", "HTTP/1.1 200 OK\r\n" + text + "\r\nè \"{}\r\x00\n", "è \"{}\r\x00\n", ""},
		{"cut", "HTTP/1.1 200 OK\r\n" + text + "\r\npw", "", ""},
		{"cut to nothing", "HTTP/1.1 200 OK\r\n" + text + "\r\n", "", ""},
		{"cut head", "HTTP/1.1 200 OK\r\n" + text, "", ""},
		{"two lines", "HTTP/1.1 200 OK\r\n" + text + "\r\npw\nmore\n", "", ""},
		{"JSON from an older service", "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"secret\":\"eA==\"}\n", "", ""},
		{"type in the body", "HTTP/1.1 200 OK\r\n\r\n\r\n" + text + "\r\npw\n", "", ""},
		{"refused", "HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\n\r\n{\"class\":\"x\"}", "", `{"class":"x"}`},
		{"refused, cut", "HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\n\r\n{\"class\":", "", ""},
		{"refused, no body", "HTTP/1.1 500 Internal Server Error\r\n" + text + "\r\n", "", ""},
		{"nothing", "", "", ""},
		{"no HTTP", "220 mail ESMTP\r\n", "", ""},
	}
	for _, tt := range tests {
		line, err := quickget.Read([]byte(tt.answer))
		refusal := quickget.TakeRefusal()
		if string(line) != tt.line || (err == nil) != (tt.line != "") || string(refusal) != tt.refusal {
			t.Errorf("%s: got %q, %v, refusal %q; want %q, refusal %q", tt.name, line, err, refusal, tt.line, tt.refusal)
		}
	}
}

// An answer is whole with the last byte that its head announces, and not one
// earlier.
func TestWhole(t *testing.T) {
	const answer = "HTTP/1.1 200 OK\r\nContent-Length: 13\r\nContent-Type: text/plain\r\n\r\npass\nword 12\n"
	for n := range len(answer) {
		if quickget.Whole([]byte(answer[:n])) {
			t.Errorf("whole at %q", answer[:n])
		}
	}
	if !quickget.Whole([]byte(answer)) {
		t.Errorf("not whole: %q", answer)
	}
	for _, never := range []string{answer + "x", "HTTP/1.1 200 OK\r\n\r\nContent-Length: 0\r\n", "HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\npw\n"} {
		if quickget.Whole([]byte(never)) {
			t.Errorf("whole: %q", never)
		}
	}
}

// What is printed is one line and nothing of the head; what is kept as a
// refusal looks like an object.
func FuzzRead(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\npw\n"))
	f.Add([]byte("HTTP/1.1 422 x\r\n\r\n{}"))
	f.Fuzz(func(t *testing.T, answer []byte) {
		line, err := quickget.Read(answer)
		refusal := quickget.TakeRefusal()
		if err != nil && line != nil {
			t.Errorf("got %q with %v", line, err)
		}
		if err == nil && (bytes.Count(line, []byte("\n")) != 1 || !bytes.HasSuffix(answer, append([]byte("\r\n\r\n"), line...))) {
			t.Errorf("got %q of %q", line, answer)
		}
		if refusal != nil && (err == nil || refusal[0] != '{') {
			t.Errorf("got refusal %q, %v", refusal, err)
		}
	})
}

const required = "[inbox]\nhost = \"h.example\"\nusername = \"a@b.it\"\n"

// A service that hangs is left to the command.
func TestSilentService(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sock")
	l, err := net.Listen("unix", path) // the kernel takes connections, nobody answers
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := quickget.Ask(path, 20_000); !errors.Is(err, syscall.EAGAIN) {
		t.Errorf("got %v, want that the time is over", err)
	}
}

func TestFindSocket(t *testing.T) {
	tests := []struct {
		doc, want string // "" = left to the command
	}{
		{required, quickget.DefaultSocket},
		{required + "[web]\nsocket = \"/run/a.sock\"\n", "/run/a.sock"},
		{"[web]\r\n  socket=\"a.sock\" # here\r\n" + required, "a.sock"},
		{"\xef\xbb\xbf[web]\nsocket = \"/a\"\n" + required, ""},
		{"[web] # page\nreaders = [\n  \"mail\",\n]\nsocket = \"/a\"\n" + required, "/a"},
		{"#[web]\n#socket = \"/a\"\n" + required, quickget.DefaultSocket},
		{required + "[web]\n#socket = \"/a\"\nlisten = \"\"\n", quickget.DefaultSocket},
		{required + "[alert]\ncommand = [\n\"socket = \\\"/a\\\"\",\n]\n", quickget.DefaultSocket},
		{required + "[web]\npage_socket = \"/b\"\nsocket = \"/a\"\n", "/a"},
		{required + "[alert]\ncommand = []\n[[provider]]\nid = \"web\"\n[web]\nsocket = \"/a\"\n", "/a"},
		{required + "[web]\nsocket = '/a'\n", ""},
		{required + "[web]\nsocket = \"/\\u0061\"\n", ""},
		{required + "[web]\nsocket = \"/a#b\"\n", ""},
		{required + "[ web ]\nsocket = \"/a\"\n", ""},
		{required + "[\"web\"]\nsocket = \"/a\"\n", ""},
		{"web.socket = \"/a\"\n" + required, ""},
		{"web = { socket = \"/a\" }\n" + required, ""},
		{required + "[Web]\nsocket = \"/a\"\n", ""},
		{required + "[web]\nSocket = \"/a\"\n", ""},
		{"WEB.Socket = \"/a\"\n" + required, ""},
		{"\"web\".socket = \"/a\"\n" + required, ""},
		{required + "[web]\n\"socket\" = \"/a\"\n", ""},
		{"[studio]\nname = \"\"\"\n[web]\nsocket = \"/a\"\n\"\"\"\n" + required, ""},
		{"[studio]\nname = '''\n[web]\nsocket = \"/a\"\n'''\n" + required, ""},
	}
	for _, tt := range tests {
		got, err := quickget.FindSocket([]byte(tt.doc))
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%q:\ngot %q, %v, want %q", tt.doc, got, err, tt.want)
		}
		sameSocket(t, []byte(tt.doc))
	}
	written, err := config.Template(config.TemplateValues{Socket: "/run/here.sock"})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := quickget.FindSocket([]byte(written)); got != "/run/here.sock" || err != nil {
		t.Errorf("the configuration that `ingest init` writes: got %q, %v", got, err)
	}
}

// sameSocket compares with the package that reads the whole configuration.
func sameSocket(t *testing.T, doc []byte) {
	t.Helper()
	whole, err := config.Parse(doc, "config.toml", "/etc/x", "")
	if err != nil {
		return
	}
	got, err := quickget.FindSocket(doc)
	if err != nil {
		return
	}
	if !filepath.IsAbs(got) {
		got = filepath.Join("/etc/x", got)
	}
	if got != whole.Web.Socket {
		t.Errorf("%q:\ngot socket %q, want %q", doc, got, whole.Web.Socket)
	}
}

// Wherever a socket is found, it is the one of the configuration.
func FuzzFindSocket(f *testing.F) {
	f.Add("[web]\nsocket = \"/run/a.sock\"\n")
	f.Add("[web]\nreaders = [\n\"x\"]\nsocket = \"a\" # b\n[otp]\n")
	f.Add("[ wEb\t]\nsocKet = \"/b\"\n[oauth]\n[studio . x]\n")
	f.Add("\"we\\u0062\".socket = \"x\"\n")
	f.Add("[studio]\nname = \"#\" # [web]\nphone = '='\n[ web]\nsocket='x'")
	f.Fuzz(func(t *testing.T, doc string) {
		sameSocket(t, []byte(doc+"\n"+required))
		sameSocket(t, []byte(required+doc))
	})
}
