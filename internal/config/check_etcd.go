package config

import (
	"fmt"
	"net"
	"strconv"
	"strings"
)

// defaultPrefix is where a vault is in etcd when vault.url does not say.
const defaultPrefix = "/pec-ingest"

// maxPrefix keeps names in etcd short: each key of a transaction has it.
const maxPrefix = 100

// etcd reads "host:port,host:port/prefix" and the keys that go with it.
//
// Connections are encrypted. Only where every member is on this machine, and
// nothing is said of certificates, they are not.
func (c *checker) etcd(rest string) Etcd {
	r := c.raw.Vault
	hosts, prefix, _ := strings.Cut(rest, "/")
	e := Etcd{Prefix: "/" + prefix, Username: c.oneLine("vault.etcd_username", r.EtcdUsername),
		Member: c.oneLine("vault.etcd_member", r.EtcdMember), Plain: r.EtcdPlain}
	if prefix == "" {
		e.Prefix = defaultPrefix
	}
	if len(e.Prefix) > maxPrefix || strings.HasSuffix(e.Prefix, "/") || strings.ContainsFunc(e.Prefix, notInPrefix) {
		c.fail("vault.url", "has the prefix "+quote(e.Prefix), "want letters, digits, - _ . and / after the hosts, none at the end: one studio, one prefix")
	}
	local := true
	list := strings.Split(hosts, ",")
	for i, h := range list {
		host, port, err := net.SplitHostPort(h)
		if err != nil {
			host, port = h, "2379"
		}
		n, perr := strconv.Atoi(port)
		if host == "" || perr != nil || n < 1 || n > 65535 || strings.ContainsAny(host, "@/ ") {
			c.fail("vault.url", fmt.Sprintf("names the member %s", quote(h)), `want host:port, such as "etcd://host1:2379,host2:2379,host3:2379/studio"`)
		}
		ip := net.ParseIP(host)
		local = local && (host == "localhost" || ip != nil && ip.IsLoopback())
		list[i] = net.JoinHostPort(host, port)
	}
	e.Endpoints = strings.Join(list, ",")
	if r.EtcdCAFile != "" {
		e.CAFile = c.path(r.EtcdCAFile)
	}
	if (r.EtcdCertFile == "") != (r.EtcdKeyFile == "") {
		c.fail("vault.etcd_cert_file", "and vault.etcd_key_file go together", "the client's certificate and its key, PEM")
	}
	if r.EtcdCertFile != "" {
		e.CertFile, e.KeyFile = c.path(r.EtcdCertFile), c.secretPath(r.EtcdKeyFile)
	}
	if (r.EtcdUsername == "") != (r.EtcdPasswordFile == "") {
		c.fail("vault.etcd_username", "and vault.etcd_password_file go together", "a user of etcd who may read and write the prefix")
	}
	if r.EtcdPasswordFile != "" {
		e.PasswordFile = c.secretPath(r.EtcdPasswordFile)
	}
	secured := e.CAFile != "" || e.CertFile != ""
	if e.Plain && secured {
		c.fail("vault.etcd_plain", "is true beside certificates", "leave one of them out")
	}
	if local && !secured {
		e.Plain = true
	}
	return e
}

func notInPrefix(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./", r))
}
