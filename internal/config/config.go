// Package config reads config.toml into typed, checked values.
//
// Unknown keys are errors, and so is every value that could not work later:
// a cron spec that never runs, a zone that does not exist, a date that is
// none. Each error names file, line, key and what to write instead; several
// are reported together. Files that the configuration names are not opened
// here; their paths are made absolute (see Load).
//
// Source: DESIGN §6. To add a key: a field in raw.go, its default, its line in
// template.toml, the check in check_*.go, the field below.
package config

import "time"

// Config is a whole configuration, checked. Days are calendar dates at
// 00:00:00 UTC, mail addresses of the studio lower-cased, paths absolute.
type Config struct {
	Path         string // of the file, absolute
	Studio       Studio
	Inbox        Inbox
	Trust        Trust
	Vault        Vault
	Policy       Policy
	Probe        Probe
	Warnings     Warnings
	SMTP         SMTP
	SMTPAccounts []SMTP // [[smtp_account]], for [alert]
	Alert        Alert
	OAuth        []OAuth
	OTP          OTP
	Web          Web
	Providers    []Provider
}

// Studio is who signs the messages to clients.
type Studio struct {
	Name, Phone  string
	TemplatesDir string // "" = the built-in texts
}

// How to log in.
const (
	AuthPassword = "password"
	AuthOAuth2   = "oauth2"
)

// Inbox is the studio's own PEC mailbox.
type Inbox struct {
	Host         string // "" where Provider names it
	Provider     string // id in the provider table
	Port         int
	Username     string
	Address      []string // the studio's PEC addresses, lower-cased; never empty when Username is an address
	Auth         string   // AuthPassword or AuthOAuth2
	Account      string   // id of an [[oauth]]
	PasswordFile string
	Folder       string
	Since        time.Time // day; zero = policy.max_validity back
	Poll         time.Duration

	After           string // AfterMove, AfterKeep or AfterDelete
	ProcessedFolder string
	PurgeAfter      time.Duration // 0 = never
	TLSCAFile       string
	MaxMessage      int64 // bytes
}

// What happens to a settled submission.
const (
	AfterMove   = "move"
	AfterKeep   = "keep"
	AfterDelete = "delete"
)

// Trust says whose signatures count.
type Trust struct {
	AnchorFiles []string // PEM
	Pins        []string // "spki-sha256:HEX"
	Builtin     bool
	CRLFiles    []string
}

// Vault is where passwords are kept.
type Vault struct {
	URL            string // as written
	Path           string // of a bbolt file; "" for etcd
	Etcd           Etcd   // the zero value for bbolt
	RecipientsFile string
	IdentityFile   string // "" = none: accepts and warns, but can't read back
	PassphraseFile string // of an identity that is protected by a passphrase; "" = it is asked for

	TouchDir       string        // a file per mailbox changes there with its password; "" = none
	BackupDir      string        // of scheduled backups, "" = none
	BackupSchedule string        // cron spec, checked
	BackupKeep     int           // how many scheduled backups stay
	DestroyAfter   time.Duration // secrets of replaced versions live so long; 0 = for ever
}

// Etcd says where a vault on several machines is.
type Etcd struct {
	Endpoints    string // host:port,host:port
	Prefix       string // "/studio"
	Plain        bool   // not encrypted
	CAFile       string // "" = the system's roots
	CertFile     string // "" = the client shows none
	KeyFile      string
	Username     string // "" = none
	PasswordFile string
	Member       string // how this service is called among the others; "" = by its machine
}

// What to do with a certified sender who is not a client.
const (
	UnlistedReview = "review"
	UnlistedIgnore = "ignore"
)

// Policy is how long passwords live.
type Policy struct {
	ValidityDays, MaxValidityDays, RenewAfterDays int
	Unlisted                                      string // UnlistedReview or UnlistedIgnore
	Timezone                                      string
	Location                                      *time.Location // of Timezone, never nil
}

// Probe is the daily trial of the passwords.
type Probe struct {
	Enabled   bool
	Every     string // cron spec, checked
	MaxLogins int    // 1…3
}

// Warnings is when and whom to warn.
type Warnings struct {
	Schedule   string  // cron spec, checked
	DaysBefore []int   // of 90; never nil, maybe empty
	Closed     []Range // ascending as written
	Patron     string  // "10-04" or ""
	ToStudio   []string
}

// Range is a span of days, both included.
type Range struct{ From, To time.Time }

// How a connection is encrypted.
const (
	TLSImplicit = "implicit"
	TLSStartTLS = "starttls"
)

// SMTP is a way to send mail: [smtp], or one [[smtp_account]].
type SMTP struct {
	Enabled      bool   // false: there is no [smtp], and nothing is sent
	Name         string // of an [[smtp_account]]; "" for [smtp]
	Host         string // "" where Provider names it
	Provider     string
	Port         int
	TLS          string // TLSImplicit or TLSStartTLS
	Username     string
	PasswordFile string
	From         string // as written: "Studio <studio@pec.it>"
	FromAddress  string // the address alone, lower-cased
	Auth         string
	Account      string
	MaxPerMinute int
	TLSCAFile    string
}

// Alert is the second way out, and the sign of life.
type Alert struct {
	SMTP             string // name of an SMTPAccounts entry, "" = none
	Command          []string
	HeartbeatFile    string
	HeartbeatCommand []string
}

// OAuth is one account for the device login.
type OAuth struct {
	ID, Tenant, ClientID string
	Scopes               []string
	DeviceURL, TokenURL  string // "" = the known ones of ID
}

// OTP switches one-time codes on. Their keys are not those of the vault.
type OTP struct {
	Enabled        bool
	RecipientsFile string
	IdentityFile   string // "" = none: codes are kept, but none is given out
	PassphraseFile string
	Readers        []string // unix groups that may ask for codes; root and admins always
}

// Web is the page and the socket.
type Web struct {
	Listen          string // host:port, "" = off
	Socket          string
	Readers, Admins []string // unix groups

	// A reverse proxy that signs people in; "" = none.
	PageSocket          string
	PageURL             string   // https://HOST, without a slash at the end
	ProxyUID            string   // account or uid that the proxy runs as
	ProxyHeader         string   // who has signed in
	Deciders, Revealers []string // names in that header; "*" = all
}

// Provider adds to the built-in provider table. Its fields are those of
// provider.Override, in the same order, so that one converts to the other.
type Provider struct {
	ID           string
	Signer       string
	IMAP, SMTP   string // host:port, or host
	TLSCAFile    string
	ValidityDays int // 0 = not said
	Name, Login  string
}
