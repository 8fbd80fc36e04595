package config

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode"
)

func (c *checker) web() Web {
	r := c.raw.Web
	if r.Listen != "" {
		host, port, err := net.SplitHostPort(r.Listen)
		n, convErr := strconv.Atoi(port)
		if err != nil || convErr != nil || n < 0 || n > 65535 || (host != "" && net.ParseIP(host) == nil && host != "localhost") {
			c.fail("web.listen", "is "+quote(r.Listen), `address and port, such as "127.0.0.1:8470", or "" for no page`)
		}
	}
	c.required("web.socket", r.Socket, "the unix socket by which commands reach the daemon")
	w := Web{
		// Like the vault's file, the socket is no credential.
		Listen: r.Listen, Socket: resolve(r.Socket, c.dir, ""),
		Readers: c.names("web.readers", r.Readers), Admins: c.names("web.admins", r.Admins),
		ProxyHeader: http.CanonicalHeaderKey(r.ProxyHeader), ProxyUID: r.ProxyUID,
		Deciders: c.people("web.deciders", r.Deciders), Revealers: c.people("web.revealers", r.Revealers),
	}
	if r.PageURL != "" {
		w.PageURL = c.pageURL(r.PageURL)
	}
	if r.PageSocket != "" {
		w.PageSocket = resolve(r.PageSocket, c.dir, "")
		c.proxy(r, w)
	}
	return w
}

// proxy checks what a reverse proxy needs besides its socket.
func (c *checker) proxy(r rawWeb, w Web) {
	c.required("web.page_url", r.PageURL, `the page's address as the proxy serves it, such as "https://pec.studio.example"`)
	c.required("web.proxy_uid", r.ProxyUID, `the account that the proxy runs as, such as "www-data"`)
	if w.PageSocket == w.Socket {
		c.fail("web.page_socket", "is the socket of the commands", "give the proxy one of its own")
	}
	for _, b := range r.ProxyHeader {
		if b != '-' && (b > unicode.MaxASCII || !unicode.IsLetter(b) && !unicode.IsDigit(b)) {
			c.fail("web.proxy_header", quote(w.ProxyHeader)+" is no name for a header", "letters, digits and hyphens")
			return
		}
	}
	switch w.ProxyHeader {
	case "", "Host", "Cookie", "Authorization", "Origin", "Referer", "User-Agent", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip":
		c.fail("web.proxy_header", quote(w.ProxyHeader)+" is no header for a name", `one that only the proxy sets, such as "X-Remote-User"`)
	}
}

// pageURL reads the address under which browsers see the page.
func (c *checker) pageURL(value string) string {
	u, err := url.Parse(value)
	switch {
	case err != nil, u.Scheme != "https", u.Hostname() == "", u.User != nil, u.RawQuery != "", u.Fragment != "", strings.Trim(u.Path, "/") != "":
		c.fail("web.page_url", "is "+quote(value), `https and a name, such as "https://pec.studio.example"; the page needs a name of its own, no folder`)
		return ""
	}
	return "https://" + strings.ToLower(u.Host)
}

// people reads names that a proxy gives; "*" is everybody.
func (c *checker) people(key string, list []string) []string {
	for i, n := range list {
		if c.oneLine(fmt.Sprintf("%s[%d]", key, i), n) == "" {
			c.fail(fmt.Sprintf("%s[%d]", key, i), "is empty", `a name as web.proxy_header gives it, or "*" for everybody`)
		}
	}
	return orNil(list)
}
