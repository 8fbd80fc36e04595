package config

// raw is the file as written, before anything is checked. Its toml tags are
// the one list of keys.
type raw struct {
	Studio      rawStudio     `toml:"studio"`
	Inbox       rawInbox      `toml:"inbox"`
	Trust       rawTrust      `toml:"trust"`
	Vault       rawVault      `toml:"vault"`
	Policy      rawPolicy     `toml:"policy"`
	Probe       rawProbe      `toml:"probe"`
	Warnings    rawWarnings   `toml:"warnings"`
	SMTP        rawSMTP       `toml:"smtp"`
	SMTPAccount []rawAccount  `toml:"smtp_account"`
	Alert       rawAlert      `toml:"alert"`
	OAuth       []rawOAuth    `toml:"oauth"`
	OTP         rawOTP        `toml:"otp"`
	Web         rawWeb        `toml:"web"`
	Provider    []rawProvider `toml:"provider"`
}

type rawStudio struct {
	Name         string `toml:"name"`
	Phone        string `toml:"phone"`
	TemplatesDir string `toml:"templates_dir"`
}

type rawInbox struct {
	Host            string   `toml:"host"`
	Provider        string   `toml:"provider"`
	Port            int64    `toml:"port"`
	Username        string   `toml:"username"`
	Address         []string `toml:"address"`
	Auth            string   `toml:"auth"`
	Account         string   `toml:"account"`
	PasswordFile    string   `toml:"password_file"`
	Folder          string   `toml:"folder"`
	Since           string   `toml:"since"`
	Poll            string   `toml:"poll"`
	After           string   `toml:"after"`
	ProcessedFolder string   `toml:"processed_folder"`
	PurgeAfter      string   `toml:"purge_after"`
	TLSCAFile       string   `toml:"tls_ca_file"`
	MaxMessage      string   `toml:"max_message"`
}

type rawTrust struct {
	Anchors []string `toml:"anchors"`
	Builtin bool     `toml:"builtin"`
	CRL     []string `toml:"crl"`
}

type rawVault struct {
	URL                    string `toml:"url"`
	RecipientsFile         string `toml:"recipients_file"`
	IdentityFile           string `toml:"identity_file"`
	IdentityPassphraseFile string `toml:"identity_passphrase_file"`
	TouchDir               string `toml:"touch_dir"`
	BackupDir              string `toml:"backup_dir"`
	BackupSchedule         string `toml:"backup_schedule"`
	BackupKeep             int64  `toml:"backup_keep"`
	DestroyAfter           string `toml:"destroy_after"`

	EtcdPlain        bool   `toml:"etcd_plain"`
	EtcdCAFile       string `toml:"etcd_ca_file"`
	EtcdCertFile     string `toml:"etcd_cert_file"`
	EtcdKeyFile      string `toml:"etcd_key_file"`
	EtcdUsername     string `toml:"etcd_username"`
	EtcdPasswordFile string `toml:"etcd_password_file"`
	EtcdMember       string `toml:"etcd_member"`
}

type rawPolicy struct {
	Validity    string `toml:"validity"`
	MaxValidity string `toml:"max_validity"`
	RenewAfter  string `toml:"renew_after"`
	Unlisted    string `toml:"unlisted"`
	Timezone    string `toml:"timezone"`
}

type rawProbe struct {
	Enabled   bool   `toml:"enabled"`
	Every     string `toml:"every"`
	MaxLogins int64  `toml:"max_logins"`
}

type rawWarnings struct {
	Schedule   string   `toml:"schedule"`
	DaysBefore []int64  `toml:"days_before"`
	Closed     []string `toml:"closed"`
	Patron     string   `toml:"patron"`
	ToStudio   []string `toml:"to_studio"`
}

type rawSMTP struct {
	MaxPerMinute int64  `toml:"max_per_minute"`
	Host         string `toml:"host"`
	Provider     string `toml:"provider"`
	Port         int64  `toml:"port"`
	TLS          string `toml:"tls"`
	Username     string `toml:"username"`
	PasswordFile string `toml:"password_file"`
	From         string `toml:"from"`
	Auth         string `toml:"auth"`
	Account      string `toml:"account"`
	TLSCAFile    string `toml:"tls_ca_file"`
}

// rawAccount is a further rawSMTP with a name. The fields are repeated rather
// than embedded, so that each line of the file has its field here.
type rawAccount struct {
	Name         string `toml:"name"`
	MaxPerMinute int64  `toml:"max_per_minute"`
	Host         string `toml:"host"`
	Provider     string `toml:"provider"`
	Port         int64  `toml:"port"`
	TLS          string `toml:"tls"`
	Username     string `toml:"username"`
	PasswordFile string `toml:"password_file"`
	From         string `toml:"from"`
	Auth         string `toml:"auth"`
	Account      string `toml:"account"`
	TLSCAFile    string `toml:"tls_ca_file"`
}

func (a rawAccount) smtp() rawSMTP {
	return rawSMTP{
		MaxPerMinute: a.MaxPerMinute, Host: a.Host, Provider: a.Provider, Port: a.Port, TLS: a.TLS,
		Username: a.Username, PasswordFile: a.PasswordFile, From: a.From, Auth: a.Auth,
		Account: a.Account, TLSCAFile: a.TLSCAFile,
	}
}

type rawAlert struct {
	SMTP             string   `toml:"smtp"`
	Command          []string `toml:"command"`
	HeartbeatFile    string   `toml:"heartbeat_file"`
	HeartbeatCommand []string `toml:"heartbeat_command"`
}

type rawOAuth struct {
	ID        string   `toml:"id"`
	Tenant    string   `toml:"tenant"`
	ClientID  string   `toml:"client_id"`
	Scopes    []string `toml:"scopes"`
	DeviceURL string   `toml:"device_url"`
	TokenURL  string   `toml:"token_url"`
}

type rawOTP struct {
	Enabled                bool     `toml:"enabled"`
	RecipientsFile         string   `toml:"recipients_file"`
	IdentityFile           string   `toml:"identity_file"`
	IdentityPassphraseFile string   `toml:"identity_passphrase_file"`
	Readers                []string `toml:"readers"`
}

type rawWeb struct {
	Listen      string   `toml:"listen"`
	Socket      string   `toml:"socket"`
	Readers     []string `toml:"readers"`
	Admins      []string `toml:"admins"`
	PageSocket  string   `toml:"page_socket"`
	PageURL     string   `toml:"page_url"`
	ProxyUID    string   `toml:"proxy_uid"`
	ProxyHeader string   `toml:"proxy_header"`
	Deciders    []string `toml:"deciders"`
	Revealers   []string `toml:"revealers"`
}

type rawProvider struct {
	ID        string `toml:"id"`
	Signer    string `toml:"signer"`
	IMAP      string `toml:"imap"`
	SMTP      string `toml:"smtp"`
	TLSCAFile string `toml:"tls_ca_file"`
	Validity  string `toml:"validity"`
	Name      string `toml:"name"`
	Login     string `toml:"login"`
}

// defaults is what stands where the file says nothing. Defaults that follow
// from other keys ([smtp] username, from, …) are filled in by the checks.
func defaults() raw {
	return raw{
		Inbox: rawInbox{
			Port: 993, Auth: AuthPassword, PasswordFile: "inbox-password", Folder: "INBOX", Poll: "5m",
			After: AfterMove, ProcessedFolder: "Password acquisite", PurgeAfter: "0", MaxMessage: "25MiB",
		},
		Trust: rawTrust{Builtin: true},
		Vault: rawVault{
			URL: "bbolt:///var/lib/pec-ingest/vault.db", RecipientsFile: "recipients.txt", IdentityFile: "identity",
			BackupSchedule: "30 1 * * *", BackupKeep: 14, DestroyAfter: "200d",
		},
		Policy: rawPolicy{
			Validity: "90d", MaxValidity: "200d", RenewAfter: "80d", Unlisted: UnlistedReview, Timezone: "Europe/Rome",
		},
		Probe:    rawProbe{Enabled: true, Every: "0 6 * * *", MaxLogins: 3},
		Warnings: rawWarnings{Schedule: "0 9 * * MON-FRI", DaysBefore: []int64{10, 5, 2, 1, 0}},
		OTP:      rawOTP{RecipientsFile: "otp-recipients.txt", IdentityFile: "otp-identity.txt"},
		SMTP:     rawSMTP{MaxPerMinute: 6, TLS: TLSImplicit, Auth: AuthPassword},
		Web:      rawWeb{Listen: "127.0.0.1:8470", Socket: "/run/pec-ingest/ingest.sock", ProxyHeader: "X-Remote-User"},
	}
}
