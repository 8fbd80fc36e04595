package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"pec-ingest/internal/clidoc"
	"pec-ingest/internal/servertest"
)

// said runs a command that must succeed and returns its stdout.
func said(t *testing.T, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if code := run(context.Background(), args, strings.NewReader(""), &stdout, &stderr); code != exitOK {
		t.Fatalf("ingest %v: exit %d\n%s", args, code, stderr.String())
	}
	return stdout.String()
}

// commands are all of the program, as the parser knows them.
func commands(t *testing.T) clidoc.Command {
	t.Helper()
	parser, err := kong.New(&cli{})
	if err != nil {
		t.Fatal(err)
	}
	return clidoc.Commands(parser.Model)
}

func TestHelpListsTheCommands(t *testing.T) {
	help := said(t, "help")
	if help != said(t, "--help") || help != said(t) {
		t.Error("`help`, `--help` and no argument differ")
	}
	root := commands(t)
	if len(root.Subs) < 15 {
		t.Fatalf("got %d commands, want them all", len(root.Subs))
	}
	for _, c := range root.Subs {
		if !regexp.MustCompile(`(?m)^  ` + c.Path + `\b.*  \S`).MatchString(help) {
			t.Errorf("help does not list %s", c.Path)
		}
		page := said(t, "help", c.Path)
		if !strings.HasPrefix(page, "Usage: ingest "+c.Path) {
			t.Errorf("help %s: got %.60q", c.Path, page)
		}
		for _, f := range c.Flags {
			if !strings.Contains(page, "--"+f.Name) {
				t.Errorf("help %s does not have --%s", c.Path, f.Name)
			}
		}
	}
	if page := said(t, "help", "client", "add"); !strings.HasPrefix(page, "Usage: ingest client add") {
		t.Errorf("help client add: got %.60q", page)
	}
}

// README's table has the commands, all of them and no other.
func TestReadmeListsTheCommands(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{"help": true}
	for _, c := range commands(t).Subs {
		known[c.Path] = true
		if !strings.Contains(string(readme), "`ingest "+c.Path) && !strings.Contains(string(readme), "`"+c.Path+"`") && !strings.Contains(string(readme), "`"+c.Path+" ") {
			t.Errorf("README does not have the command %s", c.Path)
		}
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `ingest ([a-z]+)").FindAllStringSubmatch(string(readme), -1) {
		if !known[m[1]] {
			t.Errorf("README has the command %s, which is not there", m[1])
		}
	}
}

func TestManPages(t *testing.T) {
	mandoc := servertest.Require(t, "mandoc")
	for _, page := range []string{"ingest.1", "pec-ingest.toml.5"} {
		text := said(t, "man", page, "--date", "2026-11-22", "--release", "1.2.3")
		path := filepath.Join(t.TempDir(), page)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(mandoc, "-T", "lint", "-W", "warning", path).CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s", page, err, out)
		}
		rendered, err := exec.Command(mandoc, "-T", "utf8", "-O", "width=200", path).Output()
		if err != nil {
			t.Fatal(err)
		}
		plain := regexp.MustCompile(".\b").ReplaceAllString(string(rendered), "")
		want := []string{"2026-11-22", "pec-ingest 1.2.3"}
		if page == "ingest.1" {
			for _, c := range commands(t).Subs {
				want = append(want, "ingest "+c.Path)
			}
			want = append(want, "ingest client add", "--dry-run", "EXIT STATUS")
		} else {
			want = append(want, `password_file = "inbox-password"`, "[warnings]", "days_before = [10, 5, 2, 1, 0]")
		}
		for _, w := range want {
			if !strings.Contains(plain, w) {
				t.Errorf("%s does not say %q", page, w)
			}
		}
	}
}

func TestCompletion(t *testing.T) {
	tests := []struct {
		line string // what was typed, the last word being completed
		want []string
		not  []string
	}{
		{line: "ingest ", want: []string{"status", "client", "get", "completion"}, not: []string{"man", "import"}},
		{line: "ingest st", want: []string{"status"}, not: []string{"client"}},
		{line: "ingest client ", want: []string{"add", "import", "export"}, not: []string{"status"}},
		{line: "ingest --config x client im", want: []string{"import"}},
		{line: "ingest once --", want: []string{"--dry-run", "--warn", "--config"}, not: []string{"--reveal"}},
		{line: "ingest --log-format ", want: []string{"journal", "json", "text"}, not: []string{"status"}},
	}
	for _, shell := range []string{"bash", "fish"} {
		program := servertest.Require(t, shell)
		script := filepath.Join(t.TempDir(), "ingest."+shell)
		if err := os.WriteFile(script, []byte(said(t, "completion", shell)), 0o644); err != nil {
			t.Fatal(err)
		}
		for _, tt := range tests {
			cmd := exec.Command(program, "--norc", "-c", `. "$1"; read -ra COMP_WORDS <<<"$2"; [ "${2: -1}" = " " ] && COMP_WORDS+=(""); COMP_CWORD=$((${#COMP_WORDS[@]}-1)); _ingest; printf '%s\n' "${COMPREPLY[@]}"`, "bash", script, tt.line)
			if shell == "fish" {
				cmd = exec.Command(program, "--no-config", "-c", `source $argv[1]; complete -C $argv[2]`, script, tt.line)
				cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
			}
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("%s: %v", shell, err)
			}
			var got []string
			for line := range strings.Lines(string(out)) {
				word, _, _ := strings.Cut(strings.TrimSpace(line), "\t")
				got = append(got, word)
			}
			for _, w := range tt.want {
				if !slices.Contains(got, w) {
					t.Errorf("%s: %q: got %v, want %s among them", shell, tt.line, got, w)
				}
			}
			for _, n := range tt.not {
				if slices.Contains(got, n) {
					t.Errorf("%s: %q: got %v, with %s", shell, tt.line, got, n)
				}
			}
		}
	}
	zsh := exec.Command(servertest.Require(t, "zsh"), "-n")
	zsh.Stdin = strings.NewReader(said(t, "completion", "zsh"))
	if out, err := zsh.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("zsh: %v\n%s", err, out)
	}
	if code := run(context.Background(), []string{"completion", "cmd"}, nil, &bytes.Buffer{}, &bytes.Buffer{}); code != exitUsage {
		t.Errorf("an unknown shell: got exit %d, want %d", code, exitUsage)
	}
}
