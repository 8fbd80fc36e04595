package config

import (
	"bytes"
	_ "embed"
	"fmt"
	"strings"
	"text/template"
)

//go:embed template.toml
var templateText string

// TemplateValues are what `ingest init` may fill in; empty fields give the
// default of their key.
type TemplateValues struct {
	StudioName, StudioPhone  string
	InboxHost, InboxUsername string
	InboxPort                int
	VaultURL, IdentityFile   string
	Socket                   string
}

// Template is the commented config.toml: every key with its default and what
// it means. Only inbox.host and inbox.username must be filled in before Load
// accepts it.
func Template(v TemplateValues) (string, error) {
	d := defaults()
	fill := func(s *string, def string) {
		if *s == "" {
			*s = def
		}
	}
	fill(&v.VaultURL, d.Vault.URL)
	fill(&v.IdentityFile, d.Vault.IdentityFile)
	fill(&v.Socket, d.Web.Socket)
	if v.InboxPort == 0 {
		v.InboxPort = int(d.Inbox.Port)
	}
	t, err := template.New("config.toml").Funcs(template.FuncMap{"quote": tomlQuote}).Parse(templateText)
	if err != nil {
		return "", fmt.Errorf("reading the configuration template: %w", err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, v); err != nil {
		return "", fmt.Errorf("filling the configuration template: %w", err)
	}
	return alignComments(b.String()), nil
}

// tomlQuote writes a basic string of TOML, whose escapes are a part of Go's.
func tomlQuote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// commentColumn is where the comments of short lines begin.
const commentColumn = 32

// alignComments puts the comments of lines with filled-in values back into
// their column.
func alignComments(s string) string {
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, "#") {
			continue
		}
		// The last " # " is the comment's: values may hold one, comments don't.
		at := strings.LastIndex(line, " # ")
		if at < 0 {
			continue
		}
		value, comment := strings.TrimRight(line[:at], " "), line[at+1:]
		width := max(commentColumn, len([]rune(value))+1)
		lines[i] = value + strings.Repeat(" ", width-len([]rune(value))) + comment
	}
	return strings.Join(lines, "\n")
}
