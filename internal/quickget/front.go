package quickget

import "syscall"

// A front program has nothing but this package in it, and hands whatever is
// left to the command over to the whole program, which takes its place in the
// process (execve). Two things the whole one has to know then:
//
//   - what the service has answered already, so that it is not asked, and the
//     refusal not recorded, twice;
//   - which file people and programs know as `ingest`, for what it writes into
//     other programs' settings.
//
// They come in one variable of the environment, "PID:FD:PATH". FD is the end of
// a pipe that holds the refusal, which the service has written; it is "-" when
// it gave none, and "" when it was not asked. There is no secret in either. A
// variable with another process' number is one that somebody has inherited, and
// means nothing.
const frontVar = "PEC_INGEST_FRONT"

// HandOver prepares the environment of this process for the whole program.
// front is the path of the program that runs now.
func HandOver(front string) error {
	fd := ""
	if asked {
		fd = "-"
	}
	if refusal != nil {
		var pipe [2]int
		if err := syscall.Pipe2(pipe[:], syscall.O_NONBLOCK); err != nil {
			return err
		}
		_, err := writeAll(pipe[1], refusal)
		_ = syscall.Close(pipe[1])
		if err != nil {
			_ = syscall.Close(pipe[0])
			return err
		}
		fd = decimal(pipe[0])
	}
	return syscall.Setenv(frontVar, decimal(syscall.Getpid())+":"+fd+":"+front)
}

// front is what HandOver was given.
var front string

// Front is the path of the front program that this process began as; "" when
// there was none.
func Front() string { return front }

// takeOver takes what a front program has handed over, if this process began
// as one.
func takeOver() {
	value, ok := syscall.Getenv(frontVar)
	if !ok {
		return
	}
	_ = syscall.Unsetenv(frontVar) // not for the processes that this one starts
	pid, value, _ := cut(value, ":")
	fd, path, ok := cut(value, ":")
	if !ok || pid != decimal(syscall.Getpid()) {
		return
	}
	front, asked = path, fd != ""
	if number, ok := number(fd); ok {
		refusal = drain(number)
	}
}

// drain reads what is left in a pipe that nobody writes to any more, and
// closes it; nil where it holds no problem.
func drain(fd int) []byte {
	var info syscall.Stat_t
	if err := syscall.Fstat(fd, &info); err != nil || info.Mode&syscall.S_IFMT != syscall.S_IFIFO {
		return nil
	}
	defer syscall.Close(fd)
	buf := make([]byte, maxAnswer)
	n, err := readAll(fd, buf, nil)
	if err != nil || !isObject(buf[:n]) {
		return nil
	}
	return buf[:n]
}

func number(s string) (n int, ok bool) {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' || len(s) > 6 {
			return 0, false
		}
		n = 10*n + int(s[i]-'0')
	}
	return n, s != ""
}
