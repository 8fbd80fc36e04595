package quickget

import "syscall"

// maxCommandLine is more than a plain one has, in bytes.
const maxCommandLine = 4 << 10

// commandLine is the command line of this process, the program's name first;
// a long one is left to the command. Package os, which has it from the runtime,
// would be initialized before this package, and a dozen others with it.
func commandLine() (args []string, err error) {
	fd, err := syscall.Open("/proc/self/cmdline", syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer syscall.Close(fd)
	buf := make([]byte, maxCommandLine)
	n, err := readAll(fd, buf, nil)
	if err != nil {
		return nil, err
	}
	for rest := string(buf[:n]); rest != ""; {
		var arg string
		arg, rest, _ = cut(rest, "\x00")
		args = append(args, arg)
	}
	return args, nil
}
