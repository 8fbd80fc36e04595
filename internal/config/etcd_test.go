package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pec-ingest/internal/config"
)

func TestEtcd(t *testing.T) {
	for _, test := range []struct {
		url, more string
		want      config.Etcd
	}{
		{url: "etcd://h1:2379,h2:2380,h3/studio", want: config.Etcd{Endpoints: "h1:2379,h2:2380,h3:2379", Prefix: "/studio"}},
		{url: "etcd://h1:2379", want: config.Etcd{Endpoints: "h1:2379", Prefix: "/pec-ingest"}},
		{url: "etcd://h1:2379/a/b", more: "etcd_plain = true", want: config.Etcd{Endpoints: "h1:2379", Prefix: "/a/b", Plain: true}},
		{url: "etcd://127.0.0.1:1,[::1]:2,localhost:3/s", want: config.Etcd{Endpoints: "127.0.0.1:1,[::1]:2,localhost:3", Prefix: "/s", Plain: true}},
		{url: "etcd://127.0.0.1:1,10.0.0.1:2/s", want: config.Etcd{Endpoints: "127.0.0.1:1,10.0.0.1:2", Prefix: "/s"}},
	} {
		c := mustParse(t, minimal+"[vault]\nurl = \""+test.url+"\"\n"+test.more+"\n")
		if c.Vault.Etcd != test.want || c.Vault.Path != "" {
			t.Errorf("%s: got %+v, want %+v", test.url, c.Vault.Etcd, test.want)
		}
	}
	c := mustParse(t, minimal+"[vault]\nurl = \"etcd://127.0.0.1:2379/s\"\netcd_ca_file = \"ca.pem\"\n")
	if c.Vault.Etcd.Plain || !strings.HasSuffix(c.Vault.Etcd.CAFile, "/ca.pem") {
		t.Errorf("a CA file: got %+v, want an encrypted connection", c.Vault.Etcd)
	}
}

func TestEtcdRefusals(t *testing.T) {
	for lines, want := range map[string]string{
		`url = "etcd://"`:                                                          "vault.url",
		`url = "etcd:///studio"`:                                                   "names the member",
		`url = "etcd://h:0/studio"`:                                                "names the member",
		`url = "etcd://h:x/studio"`:                                                "names the member",
		`url = "etcd://u:p@h:2379/studio"`:                                         "names the member",
		`url = "etcd://h:2379,,h:1/studio"`:                                        "names the member",
		`url = "etcd://h:2379/studio/"`:                                            "prefix",
		`url = "etcd://h:2379/stu dio"`:                                            "prefix",
		"url = \"etcd://h:2379/studio\"\netcd_cert_file = \"a\"":                   "go together",
		"url = \"etcd://h:2379/studio\"\netcd_username = \"a\"":                    "go together",
		"url = \"etcd://h:2379/studio\"\netcd_plain = true\netcd_ca_file = \"ca\"": "etcd_plain",
		`url = "etcd://h:2379/` + strings.Repeat("x", 120) + `"`:                   "prefix",
	} {
		_, err := parse(t, minimal+"[vault]\n"+lines+"\n")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want an error about %q", lines, err, want)
		}
	}
}

// A command may name another vault than the file does, with its other keys.
func TestLoadAt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.toml")
	doc := minimal + "[vault]\nurl = \"bbolt:///var/lib/x.db\"\netcd_ca_file = \"ca.pem\"\n"
	if err := os.WriteFile(path, []byte(doc), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.LoadAt(path, "etcd://h1:2379/studio")
	if err != nil || c.Vault.Path != "" || c.Vault.Etcd.Endpoints != "h1:2379" || !strings.HasSuffix(c.Vault.Etcd.CAFile, "/ca.pem") {
		t.Errorf("got %+v, %v, want the cluster with the file's CA", c, err)
	}
	if _, err := config.LoadAt(path, "ftp://h1"); err == nil {
		t.Error("got no error for a URL that is none")
	}
}
