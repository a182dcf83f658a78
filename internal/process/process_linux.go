package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

func attributes(session bool) *syscall.SysProcAttr {
	if session {
		return &syscall.SysProcAttr{Setsid: true}
	}
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// adopting is set when orphans of this program's descendants become its children.
var adopting atomic.Bool

// Adopt is for programs whose only children are those that this package starts: orphans
// among their descendants become children of this program, so that not even a process
// that left its session and emptied its environment escapes.
func Adopt() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("becoming the parent of orphans: %w", err)
	}
	adopting.Store(true)
	return nil
}

// own are the processes that were started here and have not ended: not orphans.
var own = struct {
	sync.RWMutex // held for reading from before a start until the number is in pids
	pids         sync.Map
}{}

// Launch is cmd.Start for those who do not start their processes with this package, and
// have to in a program that adopts orphans: theirs would look like some. Forget follows
// when it has been waited for.
func Launch(cmd *exec.Cmd) error { return launch(cmd) }

// Forget follows Launch.
func Forget(cmd *exec.Cmd) { forget(cmd.Process.Pid) }

func launch(cmd *exec.Cmd) error {
	own.RLock()
	defer own.RUnlock()
	err := cmd.Start()
	if err == nil {
		own.pids.Store(cmd.Process.Pid, true)
	}
	return err
}

func forget(pid int) { own.pids.Delete(pid) }

// await returns when the process has ended, and leaves it to be waited for.
func await(pid int) {
	for {
		if err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil); !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// born is StartTime, also of a process that has ended and was not waited for.
func born(pid int) string {
	s, err := readStat(pid)
	if err != nil {
		return ""
	}
	return strconv.FormatUint(s.start, 10)
}

// stat is what /proc says of a process.
type stat struct {
	pid, parent, group, session int
	state                       byte
	flags                       uint64
	start                       uint64 // clock ticks since the machine started
}

// readStat reads /proc/PID/stat. The name in it, between parentheses, may hold anything.
func readStat(pid int) (stat, error) {
	s := stat{pid: pid}
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return s, err
	}
	f := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(f) < 20 || len(f[0]) != 1 {
		return s, fmt.Errorf("/proc/%d/stat is not understood", pid)
	}
	s.state = f[0][0]
	for i, to := range []*int{&s.parent, &s.group, &s.session} {
		if *to, err = strconv.Atoi(string(f[1+i])); err != nil {
			return s, err
		}
	}
	if s.flags, err = strconv.ParseUint(string(f[6]), 10, 64); err != nil {
		return s, err
	}
	s.start, err = strconv.ParseUint(string(f[19]), 10, 64)
	return s, err
}

func (s stat) dead() bool { return s.state == 'Z' || s.state == 'X' }

// StartTime returns when a process started, as the kernel tells it: a word that differs
// for a later process with the same number. It is an error when there is no such process
// or when it has ended and waits for its parent.
func StartTime(pid int) (string, error) {
	s, err := readStat(pid)
	if err == nil && s.dead() {
		err = os.ErrProcessDone
	}
	if err != nil {
		return "", fmt.Errorf("process %d: %w", pid, err)
	}
	return strconv.FormatUint(s.start, 10), nil
}

// candidates are the processes among which survivors are looked for: all of the machine,
// or, when orphans come to this program, its descendants that were not started here,
// which are far fewer.
func candidates() []int {
	if adopting.Load() {
		if found, ok := adopted(); ok {
			return found
		}
	}
	return numbers("/proc")
}

// numbers are the names in a directory that are numbers.
func numbers(dir string) []int {
	f, err := os.Open(dir)
	if err != nil {
		return nil
	}
	names, err := f.Readdirnames(-1)
	_ = f.Close() // only read from
	if err != nil {
		return nil
	}
	var out []int
	for _, name := range names {
		if n, err := strconv.Atoi(name); err == nil {
			out = append(out, n)
		}
	}
	return out
}

// adopted lists this program's descendants, without those that were started here and
// theirs. ok is false where the kernel does not tell.
func adopted() (found []int, ok bool) {
	seen := map[int]bool{}
	for range 2 { // a list may be read while a child ends, and miss another
		for queue := []int{os.Getpid()}; len(queue) > 0; queue = queue[1:] {
			tasks := fmt.Sprintf("/proc/%d/task", queue[0])
			for _, task := range numbers(tasks) {
				children, err := os.ReadFile(fmt.Sprintf("%s/%d/children", tasks, task))
				if err != nil && queue[0] == os.Getpid() {
					if _, err := os.Stat(fmt.Sprintf("%s/%d", tasks, task)); err == nil {
						return nil, false // not a thread that has just ended
					}
				}
				for _, field := range bytes.Fields(children) {
					pid, err := strconv.Atoi(string(field))
					if err != nil || seen[pid] {
						continue
					}
					if _, started := own.pids.Load(pid); !started {
						seen[pid] = true
						found, queue = append(found, pid), append(queue, pid)
					}
				}
			}
		}
	}
	return found, true
}

// survivors are the processes, apart from the one itself, that it brought into being. It
// has ended, and was not waited for, or it was no child of this program.
func (t traces) survivors() []int {
	since, _ := strconv.ParseUint(t.start, 10, 64) // unknown: 0, all processes
	self := os.Getpid()
	own.Lock() // what is started just now must not look like an orphan
	defer own.Unlock()
	var stats []stat
	for _, pid := range candidates() {
		if pid == self || pid == t.pid {
			continue
		}
		// A child is not older than its parent.
		if s, err := readStat(pid); err == nil && s.start >= since {
			stats = append(stats, s)
		}
	}
	// Its number may be another's by now, which is none of its descendants' business.
	numbered := t.pid > 1
	if s, err := readStat(t.pid); err == nil && strconv.FormatUint(s.start, 10) != t.start {
		numbered = false
	}
	mine := map[int]bool{}
	for _, s := range stats {
		mine[s.pid] = numbered && (s.group == t.pid || s.session == t.pid || s.parent == t.pid) || t.marked(s) || t.orphan(s, self)
	}
	for more := true; more; {
		more = false
		for _, s := range stats {
			if !mine[s.pid] && mine[s.parent] {
				mine[s.pid], more = true, true
			}
		}
	}
	var left []int
	for _, s := range stats {
		switch {
		case !mine[s.pid]:
		case !s.dead():
			left = append(left, s.pid)
		case s.parent == self:
			reap(s.pid)
		}
	}
	return left
}

// marked reports whether the process has t's mark in the environment it started with.
func (t traces) marked(s stat) bool {
	if t.mark == "" {
		return false
	}
	return bytes.Contains(environment(s), []byte(markName+"="+t.mark))
}

// kernelThread is PF_KTHREAD of linux/sched.h.
const kernelThread = 0x00200000

// execFor bounds how long a process is waited for that is just executing a program.
const execFor = 2 * time.Second

// environment is the one that a process started with; nothing when it has ended. For a
// moment in the middle of an exec, and of its end, the kernel shows none and no arguments
// either, or says that there is no such process: who believed it would let it escape.
func environment(s stat) []byte {
	proc := "/proc/" + strconv.Itoa(s.pid)
	seen := 0
	for end := time.Now().Add(execFor); !s.dead() && s.flags&kernelThread == 0; time.Sleep(100 * time.Microsecond) {
		env, err := os.ReadFile(proc + "/environ")
		if len(env) > 0 || err != nil && !errors.Is(err, syscall.ESRCH) {
			return env
		}
		if args, _ := os.ReadFile(proc + "/cmdline"); len(args) > 0 { // an error: asked again
			seen++ // it has none indeed, or an exec has ended in between
		}
		if seen == 3 || time.Now().After(end) {
			return nil
		}
		if s, err = readStat(s.pid); err != nil {
			return nil
		}
	}
	return nil
}

// orphan reports whether the process was handed to this program by the kernel: a child
// in another session that nobody here started. Two processes of this program that run at
// once cannot tell their orphans apart; both would have to be stopped anyway.
func (t traces) orphan(s stat, self int) bool {
	if !adopting.Load() || s.parent != self {
		return false
	}
	if _, ok := own.pids.Load(s.pid); ok {
		return false
	}
	session, err := unix.Getsid(0)
	return err == nil && s.session != session
}

// reap takes note of the end of an orphan that this program inherited. It is not a
// child of anything in this program that could miss the note.
func reap(pid int) {
	if s, err := readStat(pid); err != nil || s.parent != os.Getpid() {
		return
	}
	var status unix.WaitStatus
	_, _ = unix.Wait4(pid, &status, unix.WNOHANG, nil) // not dead yet: the next round
}
