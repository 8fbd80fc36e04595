package servertest

import (
	"bufio"
	"crypto/tls"
	"net"
	"os"
	"strings"
	"time"
)

// marker is a user that never gets in: its refused logins mark a place in the
// log.
const marker = "log-marker"

// LoginCount is how often a user was let in and turned away.
type LoginCount struct{ OK, Refused int }

// Logins counts the logins of user since the server's first start, from the
// server's own log. What any client was told before the call is counted (of a
// disabled user: once it has disconnected).
func (d *Dovecot) Logins(user string) LoginCount {
	d.tb.Helper()
	return countLogins(d.wholeLog(), user)
}

// LoginsOf is Logins of many users, in one look.
func (d *Dovecot) LoginsOf(users []string) map[string]LoginCount {
	d.tb.Helper()
	log := d.wholeLog()
	by := map[string][]string{} // the lines that name a user
	for line := range strings.SplitSeq(log, "\n") {
		for _, before := range []string{"user=<", "passwd-file("} {
			if _, rest, found := strings.Cut(line, before); found {
				name := rest[:max(strings.IndexAny(rest, ">,"), 0)]
				by[name] = append(by[name], line)
			}
		}
	}
	counts := map[string]LoginCount{}
	for _, u := range users {
		counts[u] = countLogins(strings.Join(by[u], "\n"), u)
	}
	return counts
}

// wholeLog is the log with all that any client was told before the call.
func (d *Dovecot) wholeLog() string {
	d.tb.Helper()
	marks := d.mark()
	deadline := time.Now().Add(patience)
	for {
		log, err := os.ReadFile(d.logPath())
		if err != nil {
			d.tb.Fatal(err)
		}
		text := string(log)
		// The log is written by a process of its own. Lines of one process
		// come in order: when both processes have reported the mark, all
		// that they had to say before is there.
		if strings.Count(text, "passwd-file("+marker+",") >= marks &&
			strings.Count(text, "user=<"+marker+">") >= marks {
			return text
		}
		if time.Now().After(deadline) {
			d.tb.Fatalf("the server's log does not show a refused login after %v:\n%s", patience, tail(d.logPath(), 10))
		}
		time.Sleep(5 * time.Millisecond) // another process's file: there is nothing to wait on
	}
}

func countLogins(log, user string) LoginCount {
	var n LoginCount
	for line := range strings.SplitSeq(log, "\n") {
		named := strings.Contains(line, "user=<"+user+">,")
		switch {
		case named && strings.Contains(line, "imap-login: Info: Login: "):
			n.OK++
		case named && strings.Contains(line, "(internal failure, 1 successful auths)"): // disabled
			n.Refused++
		case strings.Contains(line, "auth: Info: passwd-file("+user+","):
			n.Refused++ // wrong password, unknown user
		}
	}
	return n
}

// mark makes a refused login and returns how many there were.
func (d *Dovecot) mark() int {
	d.tb.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.marks++
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", d.Addr(),
		&tls.Config{InsecureSkipVerify: true}) // the certificate may be a bad one on purpose
	if err != nil {
		d.tb.Fatalf("reaching the test server: %v", err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	r := bufio.NewReader(c)
	for _, cmd := range []string{"", "a LOGIN " + marker + " x\r\n", "b LOGOUT\r\n"} {
		if _, err := c.Write([]byte(cmd)); err != nil {
			d.tb.Fatalf("reaching the test server: %v", err)
		}
		if _, err := r.ReadString('\n'); err != nil {
			d.tb.Fatalf("reaching the test server: %v", err)
		}
	}
	return d.marks
}
