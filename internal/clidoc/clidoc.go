// Package clidoc writes manual pages and shell completions from the model of
// a kong command line, so that they can't say anything else than --help.
package clidoc

import (
	"strings"

	"github.com/alecthomas/kong"
)

// Command is one command as the documents need it.
type Command struct {
	Path  string // "client add"; "" is the program itself
	Usage string // its arguments and flags in short, without the program's name
	Help  string
	Flags []*kong.Flag
	Args  []*kong.Positional
	Subs  []Command // visible ones; the default one is among them
}

// Commands reads the visible commands of a model, in their order. The first
// is the program itself, with the flags that every command takes.
func Commands(app *kong.Application) Command {
	return commandOf(app.Node, "")
}

func commandOf(n *kong.Node, path string) Command {
	c := Command{Path: path, Help: n.Help, Args: n.Positional}
	for _, f := range n.Flags {
		if !f.Hidden {
			c.Flags = append(c.Flags, f)
		}
	}
	for _, sub := range n.Children {
		if sub.Type != kong.CommandNode || sub.Hidden {
			continue
		}
		c.Subs = append(c.Subs, commandOf(sub, strings.TrimSpace(path+" "+sub.Name)))
	}
	c.Usage = usageOf(c)
	return c
}

func usageOf(c Command) string {
	var parts []string
	if c.Path != "" {
		for _, f := range c.Flags {
			parts = append(parts, "["+flagText(f)+"]")
		}
	}
	for _, a := range c.Args {
		parts = append(parts, a.Summary())
	}
	return strings.Join(parts, " ")
}

// flagText is a flag as it is typed, such as --expires=DATE.
func flagText(f *kong.Flag) string {
	if f.IsBool() {
		return "--" + f.Name
	}
	return "--" + f.Name + "=" + placeHolder(f)
}

// placeHolder stands for a flag's value; a default is not shown in it, for it
// may be a path of the machine the page was made on.
func placeHolder(f *kong.Flag) string {
	switch {
	case f.PlaceHolder != "":
		return f.PlaceHolder
	case f.Enum != "":
		return strings.ReplaceAll(f.Enum, ",", "|")
	}
	return strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
}

// each calls fn for a command and all below it, parents first.
func each(c Command, fn func(Command)) {
	fn(c)
	for _, sub := range c.Subs {
		each(sub, fn)
	}
}

// words are what can follow a command's name: its sub-commands and flags.
func (c Command) words(global []*kong.Flag) []string {
	var out []string
	for _, sub := range c.Subs {
		out = append(out, lastWord(sub.Path))
	}
	for _, f := range c.Flags {
		out = append(out, "--"+f.Name)
	}
	if c.Path != "" {
		for _, f := range global {
			out = append(out, "--"+f.Name)
		}
	}
	return out
}

func lastWord(path string) string {
	if i := strings.LastIndexByte(path, ' '); i >= 0 {
		return path[i+1:]
	}
	return path
}
