package config_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"pec-ingest/internal/config"
)

func TestErrors(t *testing.T) {
	// Each document is appended to minimal, whose three lines come first.
	tests := []struct {
		name, doc string
		want      []string // "line key: part of the message|part of the hint"
	}{
		{"unknown key", "prot = 993\n", []string{`4 inbox.prot: unknown key|did you mean port?`}},
		{"unknown section", "[smpt]\nhost = \"x\"\n", []string{`4 smpt: unknown key|did you mean smtp?`}},
		{"key of another section", "validity = \"90d\"\n", []string{`4 inbox.validity: unknown key|it belongs in [policy] or [provider]`}},
		{"nothing near", "xyzzy = 1\n", []string{`4 inbox.xyzzy: unknown key|known here: host, provider`}},
		{"a password", "password = \"hunter2\"\n", []string{`4 inbox.password: unknown key|password_file`}},
		{"several", "prot = 1\nafter = \"mvoe\"\n[policy]\nvalidty = \"90d\"\ntimezone = \"Europe/Rom\"\n", []string{
			`4 inbox.prot: unknown key|port`, `5 inbox.after: is "mvoe"|move or keep or delete`,
			`7 policy.validty: unknown key|validity`, `8 policy.timezone: "Europe/Rom" is not a time zone|Europe/Rome`}},
		{"unknown key in a list of tables", "[[provider]]\nid = \"a\"\n[[provider]]\nid = \"b\"\nimpa = \"x\"\n", []string{
			`8 provider.impa: unknown key|imap`}},

		{"text for a number", "port = \"993\"\n", []string{`4 inbox.port: wrong kind of value|a whole number without quotes`}},
		{"number for text", "poll = 5\n", []string{`4 inbox.poll: wrong kind of value|text in quotes`}},
		{"text for a switch", "[probe]\nenabled = \"yes\"\n", []string{`5 probe.enabled: wrong kind of value|true or false`}},
		{"text for a list", "address = \"a@pec.it\"\n", []string{`4 inbox.address: wrong kind of value|a list of texts`}},
		{"text among numbers", "[warnings]\ndays_before = [10, \"5\"]\n", []string{`5 warnings.days_before|a list of whole numbers`}},
		{"twice", "port = 1\nport = 2\n", []string{`5 inbox.port: |`}},
		{"no TOML", "port = \n", []string{`4 |`}},
		{"a text without end", "folder = \"INBOX\n", []string{`4 |`}},

		{"port", "port = 70000\n", []string{`4 inbox.port: is 70000|1 to 65535`}},
		{"poll", "poll = \"1s\"\n", []string{`4 inbox.poll: "1s" is out of range|10s to 1d`}},
		{"poll in words", "poll = \"often\"\n", []string{`4 inbox.poll: "often" is not a duration|5m`}},
		{"moved to where it is", "folder = \"Posta\"\nprocessed_folder = \"Posta\"\n", []string{`5 inbox.processed_folder: is the folder that is watched|after = "keep"`}},
		{"moved to the inbox", "processed_folder = \"Inbox/\"\n", []string{`4 inbox.processed_folder: is the folder|`}},
		{"since", "since = \"01/08/2026\"\n", []string{`4 inbox.since: "01/08/2026" is not a date|2026-08-23`}},
		{"since 30 February", "since = \"2026-02-30\"\n", []string{`4 inbox.since: |`}},
		{"size", "max_message = \"lots\"\n", []string{`4 inbox.max_message: "lots" is not a size|25MiB`}},
		{"size too small", "max_message = \"1KiB\"\n", []string{`4 inbox.max_message: |64KiB`}},
		{"address", "address = [\"a@pec.it\",\n\"nobody\"]\n", []string{`5 inbox.address[1]: "nobody" is not a mail address|studio@pec.it`}},
		{"no account", "auth = \"oauth2\"\n", []string{`inbox.account: is missing|[[oauth]]`}},
		{"account of nobody", "auth = \"oauth2\"\naccount = \"google\"\n", []string{`5 inbox.account: there is no [[oauth]] with id "google"|`}},

		{"validity", "[policy]\nvalidity = \"90\"\n", []string{`5 policy.validity: "90" is not a number of days|90d`}},
		{"validity above the maximum", "[policy]\nvalidity = \"201d\"\n", []string{`5 policy.validity: "201d" is more than max_validity|`}},
		{"renew_after", "[policy]\nrenew_after = \"91d\"\n", []string{`5 policy.renew_after: |1d to 90d`}},
		{"unlisted", "[policy]\nunlisted = \"accept\"\n", []string{`5 policy.unlisted: |review or ignore`}},
		{"local zone", "[policy]\ntimezone = \"Local\"\n", []string{`5 policy.timezone: |Europe/Rome`}},
		{"cron", "[probe]\nevery = \"0 6 * *\"\n", []string{`5 probe.every: "0 6 * *" has 4 fields|weekday`}},
		{"cron at night", "[probe]\nevery = \"30 2 * * *\"\n", []string{`5 probe.every: "30 2 * * *" runs between 02:00 and 03:00|March`}},
		{"cron never", "[warnings]\nschedule = \"0 9 31 2 *\"\n", []string{`5 warnings.schedule: "0 9 31 2 *" never runs|`}},
		{"max_logins", "[probe]\nmax_logins = 4\n", []string{`5 probe.max_logins: is 4|1 to 3`}},
		{"days_before", "[warnings]\ndays_before = [10, -1,\n 100, 10]\n", []string{
			`5 warnings.days_before[1]: is -1|`, `6 warnings.days_before[2]: is 100|`, `6 warnings.days_before[3]: 10 is there twice|`}},
		{"closed", "[warnings]\nclosed = [\"2026-08-23/2026-08-08\", \"August\"]\n", []string{
			`5 warnings.closed[0]: "2026-08-23/2026-08-08" is a range that ends before it begins|`, `5 warnings.closed[1]: "August" is not a date|`}},
		{"patron", "[warnings]\npatron = \"4 October\"\n", []string{`5 warnings.patron: |10-04`}},
		{"patron the other way round", "[warnings]\npatron = \"29-06\"\n", []string{`5 warnings.patron: |month and day`}},
		{"to_studio", "[warnings]\nto_studio = [\"x\"]\n", []string{`5 warnings.to_studio[0]: |`}},

		{"pin", "[trust]\nanchors = [\"spki-sha256:abc\"]\n", []string{`5 trust.anchors[0]: the pin has 3 characters|64 hexadecimal`}},
		{"no trust", "[trust]\nbuiltin = false\n", []string{`5 trust.builtin: nothing is trusted|anchors`}},
		{"vault", "[vault]\nurl = \"/var/lib/vault.db\"\n", []string{`5 vault.url: |bbolt:///`}},
		{"vault care", "[vault]\nbackup_schedule = \"30 2 * * *\"\nbackup_keep = 0\ndestroy_after = \"soon\"\n",
			[]string{`5 vault.backup_schedule: |in March`, `6 vault.backup_keep: is 0|want 1`, `7 vault.destroy_after: "soon"|such as`}},

		{"smtp without a host", "[smtp]\n", []string{`4 smtp.host: is missing|provider`}},
		{"smtp host with a port", "[smtp]\nhost = \"smtp.test:465\"\n", []string{`5 smtp.host: "smtp.test:465" has a port|`}},
		{"smtp host as a URL", "[smtp]\nhost = \"smtps://smtp.test\"\n", []string{`5 smtp.host: |host name alone`}},
		{"smtp never in clear", "[smtp]\nhost = \"smtp.test\"\ntls = \"none\"\n", []string{`6 smtp.tls: is "none"|implicit or starttls`}},
		{"from", "[smtp]\nhost = \"smtp.test\"\nfrom = \"Studio\"\n", []string{`6 smtp.from: "Studio" is not a mail address|`}},
		{"from with a line end", "[smtp]\nhost = \"smtp.test\"\nfrom = \"S <s@pec.it>\\r\\nBcc: x@y.it\"\n", []string{`6 smtp.from: |`}},
		{"alert to nobody", "[alert]\nsmtp = \"second\"\n", []string{`5 alert.smtp: there is no [[smtp_account]] named "second"|`}},
		{"account twice", "[[oauth]]\nid = \"a\"\nclient_id = \"1\"\n[[oauth]]\nid = \"a\"\n", []string{`8 oauth[1].id: "a" is there twice|`, `7 oauth[1].client_id: is missing|`}},

		{"listen", "[web]\nlisten = \"8470\"\n", []string{`5 web.listen: is "8470"|127.0.0.1:8470`}},
		{"group", "[web]\nreaders = [\"two words\"]\n", []string{`5 web.readers[0]: |getent`}},
		{"proxy", "[web]\npage_socket = \"page.sock\"\n", []string{`4 web.page_url: is missing|https://pec.studio.example`, `4 web.proxy_uid: is missing|www-data`}},
		{"proxy in clear", "[web]\npage_url = \"http://pec.studio.example\"\n", []string{`5 web.page_url: is "http://pec.studio.example"|https`}},
		{"proxy in a folder", "[web]\npage_url = \"https://studio.example/pec\"\n", []string{`5 web.page_url: is "https://studio.example/pec"|a name of its own`}},
		{"proxy's header", "[web]\npage_socket = \"p\"\npage_url = \"https://p.example\"\nproxy_uid = \"www-data\"\nproxy_header = \"X-Forwarded-For\"\n", []string{`8 web.proxy_header: "X-Forwarded-For" is no header for a name|`}},
		{"proxy's header's name", "[web]\npage_socket = \"p\"\npage_url = \"https://p.example\"\nproxy_uid = \"33\"\nproxy_header = \"X User\"\n", []string{`8 web.proxy_header: "X User" is no name for a header|`}},
		{"proxy on the commands' socket", "[web]\nsocket = \"p\"\npage_socket = \"p\"\npage_url = \"https://p.example\"\nproxy_uid = \"33\"\n", []string{`6 web.page_socket: is the socket of the commands|`}},
		{"deciders", "[web]\ndeciders = [\"anna\", \"\"]\n", []string{`5 web.deciders[1]: is empty|`}},
		{"provider twice", "[[provider]]\nid = \"a\"\n[[provider]]\nid = \"a\"\n", []string{`7 provider[1].id: "a" is there twice|`}},
		{"provider without an id", "[[provider]]\nimap = \"x:1\"\n", []string{`4 provider[0].id: is missing|`}},
		{"provider's port", "[[provider]]\nid = \"a\"\nimap = \"x:0\"\n", []string{`6 provider[0].imap: "x:0" has no port|`}},
		{"provider's signer", "[[provider]]\nid = \"a\"\nsigner = \"pec\"\n", []string{`6 provider[0].signer: |`}},
		{"provider's login", "[[provider]]\nid = \"a\"\nlogin = \"any\"\n", []string{`6 provider[0].login: |address or user-id`}},
		{"inline tables", "\n[web]\n[trust]\n[vault]\n", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			checkErrors(t, minimal+tt.doc, tt.want)
		})
	}
}

func TestErrorsOfTheWhole(t *testing.T) {
	checkErrors(t, "", []string{"1 inbox.host: is missing|aruba-pec", "1 inbox.username: is missing|"})
	checkErrors(t, "[studio]\nname = \"x\"\n\n[inbox]\n\n[web]\n", []string{"4 inbox.host: is missing|", "4 inbox.username: is missing|"})
	checkErrors(t, "[inbox]\nhost = \"x\"\nusername = \"M123\"\n", []string{"1 inbox.address: is missing|no mail address"})
	checkErrors(t, "inbox = {host = \"x\",  username = \"a@b.it\", port = 0}\nprovider = [\n {id = \"a\"},\n {id = \"a\"}]\n", []string{
		"1 inbox.port: is 0|", "4 provider[1].id: \"a\" is there twice|"})
	checkErrors(t, "[inbox]\nhost = \"caf\xe9\"\n", []string{"2 : is not UTF-8|"})
	checkErrors(t, "\x00", []string{"1 |"})
	checkErrors(t, strings.Repeat("#", config.MaxSize+1), []string{"0 : is too large|"})
}

// checkErrors compares the errors of a document with "line key: msg|hint".
func checkErrors(t *testing.T, doc string, want []string) {
	t.Helper()
	_, err := parse(t, doc)
	if err == nil {
		if len(want) > 0 {
			t.Fatalf("got no error, want %q", want)
		}
		return
	}
	var errs config.Errors
	if !errors.As(err, &errs) {
		t.Fatalf("got %T, want config.Errors", err)
	}
	if len(errs) != len(want) {
		t.Fatalf("got %d errors, want %d:\n%v", len(errs), len(want), err)
	}
	got := map[string]bool{}
	for _, w := range want {
		msg, hint, _ := strings.Cut(w, "|")
		found := false
		for i, e := range errs {
			if strings.HasPrefix(fmt.Sprintf("%d %s: %s", e.Line, e.Key, e.Msg), msg) || (strings.HasPrefix(msg, e.Key) && e.Line > 0 && strings.HasPrefix(e.Key+": "+e.Msg, msg)) {
				if strings.Contains(e.Hint, hint) && !got[fmt.Sprint(i)] {
					got[fmt.Sprint(i)] = true
					found = true
					break
				}
			}
		}
		if !found {
			t.Errorf("no error %q in:\n%v", w, err)
		}
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the error shows a password: %v", err)
	}
	for _, e := range errs {
		if e.File != "config.toml" || !strings.HasPrefix(e.Error(), "config.toml") {
			t.Errorf("got %q, want the file named first", e.Error())
		}
		if strings.Contains(e.Error(), "config.raw") || strings.Contains(e.Error(), "struct") {
			t.Errorf("got %q, which speaks of the program's inside", e.Error())
		}
	}
}
