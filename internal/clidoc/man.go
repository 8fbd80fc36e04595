package clidoc

import (
	"fmt"
	"strings"
)

// Page is what a manual page says beside the commands.
type Page struct {
	Name, Section string // "ingest", "1"
	Date          string // "2026-11-22", of the version, not of the build
	Source        string // "pec-ingest 1.2.0"
	Title         string // "User Commands"
	Short         string // one line for NAME
	Sections      []Section
}

// Section is a titled part of a page. Text is plain: paragraphs end with an
// empty line, lines that begin with a blank stay as they are.
type Section struct{ Title, Text string }

// Man writes the manual page of a command line in man(7) roff.
func Man(root Command, p Page) string {
	var b strings.Builder
	p.head(&b)
	fmt.Fprintf(&b, ".SH SYNOPSIS\n.B %s\n.RI [ flags ]\n.I command\n.RI [ arguments ]\n", roff(p.Name))
	b.WriteString(".SH DESCRIPTION\n")
	paragraphs(&b, root.Help)
	b.WriteString(".SH FLAGS OF EVERY COMMAND\n")
	flags(&b, root)
	b.WriteString(".SH COMMANDS\n")
	for _, sub := range root.Subs {
		each(sub, func(c Command) {
			fmt.Fprintf(&b, ".SS \"%s %s\"\n", roff(p.Name), quoted(strings.TrimSpace(c.Path+" "+argsOf(c))))
			paragraphs(&b, c.Help)
			flags(&b, c)
		})
	}
	p.tail(&b)
	return b.String()
}

// ManText writes a manual page that has sections only.
func ManText(p Page) string {
	var b strings.Builder
	p.head(&b)
	p.tail(&b)
	return b.String()
}

func argsOf(c Command) string {
	var parts []string
	for _, a := range c.Args {
		parts = append(parts, a.Summary())
	}
	return strings.Join(parts, " ")
}

func (p Page) head(b *strings.Builder) {
	fmt.Fprintf(b, ".\\\" made from the program itself; do not edit\n.TH \"%s\" \"%s\" \"%s\" \"%s\" \"%s\"\n",
		quoted(strings.ToUpper(p.Name)), p.Section, p.Date, quoted(p.Source), quoted(p.Title))
	fmt.Fprintf(b, ".SH NAME\n%s \\- %s\n", roff(p.Name), roff(p.Short))
}

func (p Page) tail(b *strings.Builder) {
	for _, s := range p.Sections {
		fmt.Fprintf(b, ".SH %s\n", roff(s.Title))
		paragraphs(b, s.Text)
	}
}

func flags(b *strings.Builder, c Command) {
	for _, f := range c.Flags {
		text := strings.TrimSpace(f.Help)
		if f.HasDefault && f.Default != "" && !f.IsBool() {
			text += fmt.Sprintf(" Default: %s.", f.Default)
		}
		if len(f.Envs) > 0 {
			text += fmt.Sprintf(" Environment: %s.", strings.Join(f.Envs, ", "))
		}
		fmt.Fprintf(b, ".TP\n.B %s\n%s\n", roff(flagText(f)), roff(text))
	}
}

// paragraphs writes plain text; indented lines are an example.
func paragraphs(b *strings.Builder, text string) {
	example := false
	end := func() {
		if example {
			b.WriteString(".EE\n")
			example = false
		}
	}
	gap, first := false, true
	for _, line := range strings.Split(strings.Trim(text, "\n"), "\n") {
		switch {
		case line == "":
			if example {
				b.WriteString("\n")
			}
			gap = !example
		case line[0] == ' ' || line[0] == '\t':
			if !example {
				if !first {
					b.WriteString(".PP\n")
				}
				b.WriteString(".EX\n")
				example = true
			}
			b.WriteString(roff(line) + "\n")
		default:
			if example {
				end()
				gap = true
			}
			if gap {
				b.WriteString(".PP\n")
			}
			gap = false
			b.WriteString(roff(line) + "\n")
		}
		first = false
	}
	end()
}

// roff makes text safe: backslashes, hyphens that are typed, and control
// characters at the start of a line.
func roff(s string) string {
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		line = strings.NewReplacer(`\`, `\e`, "-", `\-`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`, "…", "...", "“", "\"", "”", "\"", "·", "|").Replace(line)
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
			line = `\&` + line
		}
		lines[i] = line
	}
	return strings.Join(lines, "\n")
}

// quoted is roff inside a macro's quotation marks.
func quoted(s string) string { return strings.ReplaceAll(roff(s), `"`, `\(dq`) }
