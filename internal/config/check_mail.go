package config

import (
	"fmt"
	"strings"
	"time"
)

// config checks section after section and puts the Config together.
func (c *checker) config() *Config {
	out := &Config{
		Studio: Studio{
			Name:         c.oneLine("studio.name", c.raw.Studio.Name),
			Phone:        c.oneLine("studio.phone", c.raw.Studio.Phone),
			TemplatesDir: c.path(c.raw.Studio.TemplatesDir),
		},
		Inbox:    c.inbox(),
		Trust:    c.trust(),
		Vault:    c.care(c.vault()),
		Policy:   c.policy(),
		Probe:    c.probe(),
		Warnings: c.warnings(),
		OTP:      c.otp(),
		Web:      c.web(),
		OAuth:    c.oauth(),
	}
	out.Providers = c.providers()
	out.SMTP = c.smtp("smtp", "", c.raw.SMTP, out)
	out.SMTPAccounts = c.accounts(out)
	out.Alert = c.alert()
	c.references(out)
	return out
}

const hintUsername = "the studio's PEC address or user ID"

func (c *checker) inbox() Inbox {
	r := c.raw.Inbox
	if r.Host == "" && r.Provider == "" {
		c.fail("inbox.host", "is missing", `the IMAP server's name, or provider = "aruba-pec"`)
	}
	c.required("inbox.username", r.Username, hintUsername)
	c.required("inbox.folder", r.Folder, "mostly INBOX")
	c.choice("inbox.after", r.After, AfterMove, AfterKeep, AfterDelete)
	if r.After == AfterMove {
		c.required("inbox.processed_folder", r.ProcessedFolder, "needed by after = \"move\"")
		if same := strings.Trim(r.ProcessedFolder, "/ "); same != "" && (same == r.Folder || strings.EqualFold(same, "INBOX") && strings.EqualFold(r.Folder, "INBOX")) {
			c.fail("inbox.processed_folder", "is the folder that is watched", "another one, or after = \"keep\"")
		}
	}
	if r.Auth == AuthPassword && r.PasswordFile == "" {
		c.fail("inbox.password_file", "is missing", "the name of a file with the password in it, never the password itself")
	}
	in := Inbox{
		Host: c.host("inbox.host", r.Host), Provider: r.Provider, Port: c.port("inbox.port", r.Port),
		Username: c.oneLine("inbox.username", r.Username),
		Address:  c.mailboxes("inbox.address", r.Address),
		Auth:     c.choice("inbox.auth", r.Auth, AuthPassword, AuthOAuth2), Account: r.Account,
		PasswordFile:    c.secretPath(r.PasswordFile),
		Folder:          c.oneLine("inbox.folder", r.Folder),
		Poll:            c.duration("inbox.poll", r.Poll, 10*time.Second, 24*time.Hour),
		After:           r.After,
		ProcessedFolder: c.oneLine("inbox.processed_folder", r.ProcessedFolder),
		PurgeAfter:      c.duration("inbox.purge_after", r.PurgeAfter, 0, 3650*24*time.Hour),
		TLSCAFile:       c.path(r.TLSCAFile),
	}
	if len(in.Address) == 0 {
		if lower := strings.ToLower(r.Username); isMailbox(lower) {
			in.Address = []string{lower}
		} else if r.Username != "" && len(r.Address) == 0 {
			c.fail("inbox.address", "is missing", "the username is no mail address, so the studio's PEC addresses are needed")
		}
	}
	if r.Since != "" {
		since, err := ParseDay(r.Since)
		if err != nil {
			c.fail("inbox.since", quote(r.Since)+" is "+err.Error(), `year, month, day: "2026-08-23"`)
		}
		in.Since = since
	}
	max, err := ParseBytes(r.MaxMessage)
	switch {
	case err != nil:
		c.fail("inbox.max_message", quote(r.MaxMessage)+" is "+err.Error(), `such as "25MiB"`)
	case max < 64<<10 || max > 1<<30:
		c.fail("inbox.max_message", quote(r.MaxMessage)+" is out of range", "want 64KiB to 1GiB")
	}
	in.MaxMessage = max
	return in
}

// smtp checks [smtp], or one [[smtp_account]] under its own key. What it leaves
// out follows from [inbox]: mostly it is the same mailbox.
func (c *checker) smtp(key, name string, r rawSMTP, out *Config) SMTP {
	if !c.lines.has(key) {
		return SMTP{}
	}
	main := key == "smtp"
	if r.Host == "" && r.Provider == "" {
		if main && out.Inbox.Provider != "" {
			r.Provider = out.Inbox.Provider
		} else {
			c.fail(key+".host", "is missing", `the SMTP server's name, or provider = "aruba-pec"`)
		}
	}
	if r.Username == "" && main {
		r.Username = out.Inbox.Username
	}
	same := r.Username == out.Inbox.Username
	c.required(key+".username", r.Username, "what the SMTP server is logged in with")
	if r.Port == 0 && c.absent(key+".port") {
		r.Port = map[string]int64{TLSStartTLS: 587}[r.TLS]
		if r.Port == 0 {
			r.Port = 465
		}
	}
	passwordFile := c.secretPath(r.PasswordFile)
	if r.Auth == AuthPassword && r.PasswordFile == "" {
		if same {
			passwordFile = out.Inbox.PasswordFile
		} else {
			c.fail(key+".password_file", "is missing", "the name of a file with the password in it, never the password itself")
		}
	}
	if r.From == "" && isMailbox(strings.ToLower(r.Username)) {
		r.From = r.Username
	}
	address, err := ParseFrom(r.From)
	if r.From == "" {
		c.fail(key+".from", "is missing", `such as "Studio Rossi <studio@pec.it>"`)
	} else if err != nil {
		c.fail(key+".from", quote(r.From)+" is "+err.Error(), `such as "Studio Rossi <studio@pec.it>"`)
	}
	if r.MaxPerMinute < 1 || r.MaxPerMinute > 1000 {
		c.fail(key+".max_per_minute", fmt.Sprintf("is %d", r.MaxPerMinute), "want 1 to 1000")
	}
	return SMTP{
		Enabled: true, Name: name,
		Host: c.host(key+".host", r.Host), Provider: r.Provider, Port: c.port(key+".port", r.Port),
		TLS:          c.choice(key+".tls", r.TLS, TLSImplicit, TLSStartTLS),
		Username:     c.oneLine(key+".username", r.Username),
		PasswordFile: passwordFile, From: r.From, FromAddress: address,
		Auth: c.choice(key+".auth", r.Auth, AuthPassword, AuthOAuth2), Account: r.Account,
		MaxPerMinute: int(r.MaxPerMinute), TLSCAFile: c.path(r.TLSCAFile),
	}
}

func (c *checker) accounts(out *Config) []SMTP {
	var list []SMTP
	seen := map[string]bool{}
	for i, a := range c.raw.SMTPAccount {
		key := fmt.Sprintf("smtp_account[%d]", i)
		if c.required(key+".name", a.Name, "by which [alert] smtp calls it") && seen[a.Name] {
			c.fail(key+".name", quote(a.Name)+" is there twice", "give each account a name of its own")
		}
		seen[a.Name] = true
		r := a.smtp()
		if r.MaxPerMinute == 0 && c.absent(key+".max_per_minute") {
			r.MaxPerMinute = c.defaultsSMTP().MaxPerMinute
		}
		if r.TLS == "" {
			r.TLS = c.defaultsSMTP().TLS
		}
		if r.Auth == "" {
			r.Auth = c.defaultsSMTP().Auth
		}
		list = append(list, c.smtp(key, a.Name, r, out))
	}
	return list
}

func (c *checker) defaultsSMTP() rawSMTP { return defaults().SMTP }

func (c *checker) alert() Alert {
	r := c.raw.Alert
	return Alert{
		SMTP: r.SMTP, Command: c.command("alert.command", r.Command),
		HeartbeatFile:    c.path(r.HeartbeatFile),
		HeartbeatCommand: c.command("alert.heartbeat_command", r.HeartbeatCommand),
	}
}

func (c *checker) oauth() []OAuth {
	var list []OAuth
	seen := map[string]bool{}
	for i, r := range c.raw.OAuth {
		key := fmt.Sprintf("oauth[%d]", i)
		if c.required(key+".id", r.ID, `such as "microsoft"`) && seen[r.ID] {
			c.fail(key+".id", quote(r.ID)+" is there twice", "give each account an id of its own")
		}
		seen[r.ID] = true
		c.required(key+".client_id", r.ClientID, "the application's id, from the provider's registration page")
		for name, u := range map[string]string{"device_url": r.DeviceURL, "token_url": r.TokenURL} {
			if u != "" && !strings.HasPrefix(u, "https://") && !strings.HasPrefix(u, "http://127.0.0.1") {
				c.fail(key+"."+name, quote(u)+" is not an https:// address", "")
			}
		}
		r.Scopes = orNil(r.Scopes)
		list = append(list, OAuth(r))
	}
	return list
}

// references checks the names by which one part of the file means another.
func (c *checker) references(out *Config) {
	known := func(id string) bool {
		for _, o := range out.OAuth {
			if o.ID == id {
				return true
			}
		}
		return false
	}
	check := func(key, auth, account string) {
		switch {
		case auth == AuthOAuth2 && account == "":
			c.fail(key+".account", "is missing", `auth = "oauth2" needs the id of an [[oauth]]`)
		case auth == AuthOAuth2 && !known(account):
			c.fail(key+".account", "there is no [[oauth]] with id "+quote(account), "`ingest login` needs its client_id")
		case auth == AuthPassword && account != "":
			c.fail(key+".account", "is for auth = \"oauth2\" only", "")
		}
	}
	check("inbox", out.Inbox.Auth, out.Inbox.Account)
	if out.SMTP.Enabled {
		check("smtp", out.SMTP.Auth, out.SMTP.Account)
	}
	for i, a := range out.SMTPAccounts {
		check(fmt.Sprintf("smtp_account[%d]", i), a.Auth, a.Account)
	}
	if name := out.Alert.SMTP; name != "" {
		for _, a := range out.SMTPAccounts {
			if a.Name == name {
				return
			}
		}
		c.fail("alert.smtp", "there is no [[smtp_account]] named "+quote(name), "")
	}
}
