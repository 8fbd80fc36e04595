// Command ingest takes the passwords that clients send by certified mail
// (PEC) out of the studio's inbox, proves them, keeps them and warns before
// they expire. See README.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"reflect"
	"runtime/debug"
	"slices"
	"syscall"

	"github.com/alecthomas/kong"
	"golang.org/x/sys/unix"

	"pec-ingest/internal/config"
	"pec-ingest/internal/ingest"
	"pec-ingest/internal/safetext"
)

// Exit codes, part of the contract.
const (
	exitOK          = 0
	exitFailed      = 1 // or not permitted
	exitUsage       = 2
	exitNotFound    = 3
	exitNeedsPerson = 4
	exitVault       = 5
	exitConfig      = 6
)

func main() {
	// Nearly every command has passwords in its memory at some time: no core
	// dump and no debugger, whoever runs it.
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	keepSmall()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(guarded(os.Stderr, func() int { return run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr) }))
}

// guarded is the exit code of a command, also of one that fails badly: Go's own
// end would print what the fault was about, a password perhaps, and its exit
// code means something else here.
func guarded(stderr io.Writer, command func() int) (code int) {
	defer func() {
		if r := recover(); r != nil {
			fmt.Fprintf(stderr, "ingest: error: a fault of the program (%T)\n%s\ningest: hint: please report it; nothing stored is lost\n", r, debug.Stack())
			code = exitFailed
		}
	}()
	return command()
}

// run is the whole program but for the process itself; deferred closes happen
// before it returns.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	var c cli
	code, ended := -1, false
	parser, err := kong.New(&c, kong.Name("ingest"), kong.Description(description), kong.UsageOnError(),
		kong.Writers(stdout, stderr), kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}),
		kong.Exit(func(n int) { code, ended = n, true }))
	if err != nil {
		fmt.Fprintln(stderr, "ingest: error:", err)
		return exitFailed
	}
	if len(args) == 0 {
		args = []string{"--help"}
	} else if args[0] == "help" { // `help client add` is `client add --help`
		args = append(slices.Clone(args[1:]), "--help")
	}
	parsed, err := parser.Parse(args)
	if ended { // --help printed
		return code
	}
	if err != nil {
		fmt.Fprintf(stderr, "ingest: error: %s\ningest: hint: %s\n", safetext.Text(err.Error()), usageHint(err))
		return exitUsage
	}
	if name := emptyArgument(parsed); name != "" {
		fmt.Fprintf(stderr, "ingest: error: <%s> is empty\ningest: hint: a variable without a value?\n", name)
		return exitUsage
	}
	if c.Config == "" { // an empty variable is none
		c.Config = defaultConfig
	}
	env := &environment{stdin: stoppable{ctx, stdin}, stdout: stdout, stderr: stderr, global: &c.global}
	defer env.dropTyped()
	if err := env.openLog(); err != nil {
		return report(stderr, err)
	}
	parsed.BindTo(ctx, (*context.Context)(nil))
	return report(stderr, parsed.Run(env))
}

// usageHint names the help of the command that was meant.
func usageHint(err error) string {
	var fault *kong.ParseError
	if errors.As(err, &fault) {
		for _, step := range slices.Backward(fault.Context.Path) { // flags and arguments are no node
			if node := step.Node(); node != nil && node.Parent != nil {
				return "`" + node.FullPath() + " --help` shows how it is used"
			}
		}
	}
	return "`ingest --help` lists the commands"
}

// emptyArgument names an argument that was given as "": what a script writes
// whose variable has no value, never "all of them".
func emptyArgument(parsed *kong.Context) string {
	for _, step := range parsed.Path {
		if arg := step.Positional; arg != nil && arg.Set && arg.Target.Kind() == reflect.String && arg.Target.String() == "" {
			return arg.Name
		}
	}
	return ""
}

// report prints an error as a person should see it and returns its exit code.
func report(stderr io.Writer, err error) int {
	if err == nil {
		return exitOK
	}
	var silent *exitError
	if errors.As(err, &silent) {
		return silent.code
	}
	// What was typed, or a server said, may stand in them.
	fmt.Fprintf(stderr, "ingest: error: %s\n", safetext.Text(err.Error()))
	if hint := ingest.HintOf(err); hint != "" {
		fmt.Fprintf(stderr, "ingest: hint: %s\n", safetext.Text(hint))
	}
	return exitCode(err)
}

// exitError ends a command with a code and without a word: everything was
// said already.
type exitError struct{ code int }

func (e *exitError) Error() string { return fmt.Sprintf("exit %d", e.code) }

func exitCode(err error) int {
	var ce *config.Error
	var ces config.Errors
	if errors.As(err, &ce) || errors.As(err, &ces) {
		return exitConfig
	}
	switch ingest.ClassOf(err) {
	case ingest.Usage:
		return exitUsage
	case ingest.NotFound:
		return exitNotFound
	case ingest.NeedsPerson:
		return exitNeedsPerson
	case ingest.NoVault:
		return exitVault
	case ingest.BadConfig:
		return exitConfig
	}
	return exitFailed
}
