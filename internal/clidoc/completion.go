package clidoc

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

// Shells are those that Completion writes for.
var Shells = []string{"bash", "zsh", "fish"}

// Completion writes a completion script for one of Shells; any other is an
// error. Commands and flags are completed, and the values of flags that take
// one of a few; where a file may stand, the shell completes files.
func Completion(shell, program string, root Command) (string, error) {
	switch shell {
	case "bash":
		return bash(program, root), nil
	case "zsh":
		return zsh(program, root), nil
	case "fish":
		return fish(program, root), nil
	}
	return "", fmt.Errorf("no completion for %q: there is one for %s", shell, strings.Join(Shells, ", "))
}

// at is a command's place in the scripts: "/client/add", "" for the program.
func at(c Command) string {
	if c.Path == "" {
		return ""
	}
	return "/" + strings.ReplaceAll(c.Path, " ", "/")
}

// places lists all commands but the program, as shell patterns.
func places(root Command, sep string) string {
	var all []string
	each(root, func(c Command) {
		if c.Path != "" {
			all = append(all, at(c))
		}
	})
	return strings.Join(all, sep)
}

// enums are the flags that take one of a few words, by name. A name means the
// same everywhere: where two differ, neither is completed.
func enums(root Command) (names []string, values map[string]string) {
	values = map[string]string{}
	each(root, func(c Command) {
		for _, f := range c.Flags {
			words := strings.ReplaceAll(f.Enum, ",", " ")
			old, known := values[f.Name]
			switch {
			case !known:
				names, values[f.Name] = append(names, f.Name), words
			case old != words:
				values[f.Name] = ""
			}
		}
	})
	kept := names[:0]
	for _, n := range names {
		if values[n] != "" {
			kept = append(kept, n)
		}
	}
	return kept, values
}

func bash(program string, root Command) string {
	var b strings.Builder
	fmt.Fprintf(&b, `# bash completion for %[1]s, made from the program itself
_%[1]s() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} at= i words=
	for ((i = 1; i < COMP_CWORD; i++)); do
		case "$at/${COMP_WORDS[i]}" in
		%[2]s) at="$at/${COMP_WORDS[i]}" ;;
		esac
	done
	if [ "$prev" = = ]; then
		prev=${COMP_WORDS[COMP_CWORD-2]}
	elif [ "$cur" = = ]; then
		cur=
	fi
	case "$prev" in
`, program, places(root, "|"))
	names, values := enums(root)
	for _, n := range names {
		fmt.Fprintf(&b, "\t--%s) COMPREPLY=($(compgen -W %s -- \"$cur\")); return ;;\n", n, quote(values[n]))
	}
	b.WriteString("\tesac\n\tcase \"$at\" in\n")
	each(root, func(c Command) {
		fmt.Fprintf(&b, "\t%s) words=%s ;;\n", quote(at(c)), quote(strings.Join(c.words(root.Flags), " ")))
	})
	fmt.Fprintf(&b, "\tesac\n\tCOMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n}\ncomplete -o default -F _%[1]s %[1]s\n", program)
	return b.String()
}

func zsh(program string, root Command) string {
	var b strings.Builder
	fmt.Fprintf(&b, `#compdef %[1]s
# zsh completion for %[1]s, made from the program itself
_%[1]s() {
	local at= i
	local -a words_here
	for ((i = 2; i < CURRENT; i++)); do
		case "$at/${words[i]}" in
		(%[2]s) at="$at/${words[i]}" ;;
		esac
	done
	case "${words[CURRENT-1]}" in
`, program, places(root, "|"))
	names, values := enums(root)
	for _, n := range names {
		fmt.Fprintf(&b, "\t(--%s) compadd -- %s; return ;;\n", n, values[n])
	}
	b.WriteString("\tesac\n\tcase \"$at\" in\n")
	each(root, func(c Command) {
		fmt.Fprintf(&b, "\t(%s) words_here=(\n", quote(at(c)))
		for _, sub := range c.Subs {
			fmt.Fprintf(&b, "\t\t%s\n", quote(lastWord(sub.Path)+":"+firstLine(sub.Help)))
		}
		for _, f := range flagsAt(c, root) {
			fmt.Fprintf(&b, "\t\t%s\n", quote("--"+f.Name+":"+firstLine(f.Help)))
		}
		b.WriteString("\t) ;;\n")
	})
	fmt.Fprintf(&b, "\tesac\n\t_describe -o %[1]s words_here || _files\n}\nif [ \"$funcstack[1]\" = _%[1]s ]; then\n\t_%[1]s \"$@\"\nelse\n\tcompdef _%[1]s %[1]s\nfi\n", program)
	return b.String()
}

func fish(program string, root Command) string {
	var b strings.Builder
	fmt.Fprintf(&b, `# fish completion for %[1]s, made from the program itself
function __%[1]s_at
	set -l at ''
	for word in (commandline -opc)[2..-1]
		switch "$at/$word"
			case %[2]s
				set at "$at/$word"
		end
	end
	test "$at" = "$argv[1]"
end
`, program, places(root, " "))
	each(root, func(c Command) {
		on := fmt.Sprintf("-n %s", quote(fmt.Sprintf("__%s_at %s", program, fishPlace(at(c)))))
		for _, sub := range c.Subs {
			fmt.Fprintf(&b, "complete -c %s -f %s -a %s -d %s\n", program, on, lastWord(sub.Path), quote(firstLine(sub.Help)))
		}
		for _, f := range flagsAt(c, root) {
			value := ""
			switch {
			case f.Enum != "":
				value = " -x -a " + quote(strings.ReplaceAll(f.Enum, ",", " "))
			case !f.IsBool():
				value = " -r"
			}
			fmt.Fprintf(&b, "complete -c %s %s -l %s%s -d %s\n", program, on, f.Name, value, quote(firstLine(f.Help)))
		}
	})
	return b.String()
}

// fishPlace is a place as one word of a command inside quotation marks.
func fishPlace(place string) string {
	if place == "" {
		return `""`
	}
	return place
}

// flagsAt are the flags that may stand after a command.
func flagsAt(c, root Command) []*kong.Flag {
	if c.Path == "" {
		return c.Flags
	}
	return append(append([]*kong.Flag{}, c.Flags...), root.Flags...)
}

// firstLine is a help text as a description: one sentence, no full stop.
func firstLine(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if i := strings.Index(s, ". "); i >= 0 {
		s = s[:i]
	}
	return strings.ReplaceAll(strings.TrimSuffix(s, "."), ":", " -")
}

// quote is for the three shells: single quotation marks, those inside taken
// out of them.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
