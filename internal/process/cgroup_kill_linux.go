package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Cgroup is a control group that processes are started in.
type Cgroup struct {
	path string
	how  mechanism
}

// Path is where the group is, for OpenCgroup.
func (g *Cgroup) Path() string { return g.path }

// launchIn starts a command in the group. With version 2 it is there from its first
// moment, with version 1 from a moment after. ErrCgroup when it could not be put there:
// nothing was started then.
func (g *Cgroup) launchIn(cmd *exec.Cmd) (*exec.Cmd, error) {
	if g.how == byKill || g.how == byFreeze {
		if dir, err := os.Open(g.path); err == nil {
			cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(dir.Fd())
			err = launch(cmd)
			_ = dir.Close() // only read from
			if err == nil {
				return cmd, nil
			}
		}
		// Before Linux 5.7, and under some filters of system calls, there is no such start.
		attributes := *cmd.SysProcAttr
		attributes.UseCgroupFD = false
		cmd = &exec.Cmd{Path: cmd.Path, Args: cmd.Args, Env: cmd.Env, Dir: cmd.Dir, Stdin: cmd.Stdin, Stdout: cmd.Stdout, Stderr: cmd.Stderr,
			ExtraFiles: cmd.ExtraFiles, SysProcAttr: &attributes, Err: cmd.Err}
	}
	if err := launch(cmd); err != nil {
		return nil, err
	}
	err := writeFile(filepath.Join(g.path, procsFile), strconv.Itoa(cmd.Process.Pid))
	if err != nil && !errors.Is(err, syscall.ESRCH) { // ESRCH: it has ended already
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // it leads a group, and was not waited for
		_ = cmd.Wait()                                      // killed
		forget(cmd.Process.Pid)
		return nil, fmt.Errorf("%w %s: %w", ErrCgroup, g.path, err)
	}
	return cmd, nil
}

// Kill ends every process in the group and in the groups below, until there is none, and
// removes it. No member escapes, whatever it does, except by the hand of somebody who may
// move it to another group. It is no error when the group is gone; it is one when
// something lives after within, which only the kernel can be the cause of.
func (g *Cgroup) Kill(within time.Duration) error {
	end := time.Now().Add(within)
	for pause := time.Millisecond; ; pause = min(2*pause, 20*time.Millisecond) {
		members, err := g.members()
		if err != nil {
			return err
		}
		if len(members) == 0 {
			if err := g.remove(); !errors.Is(err, syscall.EBUSY) || time.Now().After(end) {
				return err
			}
		} else if slices.Contains(members, os.Getpid()) {
			return fmt.Errorf("this program is itself in the control group %s", g.path)
		} else if err := g.strike(members); err != nil {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("processes %s of the control group %s live %s after they were killed", list(members), g.path, within)
		}
		time.Sleep(pause)
	}
}

// strike kills the members that there are.
func (g *Cgroup) strike(members []int) error {
	switch g.how {
	case byKill:
		return g.write("cgroup.kill", "1")
	case byFreeze, byFreezer:
		if err := g.freeze(true); err != nil {
			return err
		}
		members, err := g.members()
		kill(members)
		return errors.Join(err, g.freeze(false)) // a frozen one dies when it thaws, before it does anything else
	case byPids:
		if err := g.write("pids.max", "0"); err != nil {
			return err
		}
	}
	g.killNow(members)
	return nil
}

// freeze stops all members, or lets them go on. Stopping may take a moment; one that
// cannot be stopped in the middle of a system call does not fork there either.
func (g *Cgroup) freeze(on bool) error {
	file, word := "freezer.state", "THAWED"
	if on {
		word = "FROZEN"
	}
	if g.how == byFreeze {
		file, word = "cgroup.freeze", "0"
		if on {
			word = "1"
		}
	}
	if err := g.write(file, word); err != nil || !on {
		return err
	}
	for range 100 {
		if g.frozen() {
			return nil
		}
		time.Sleep(time.Millisecond)
		if g.how == byFreezer { // said again, it catches those that were born meanwhile
			if err := g.write(file, word); err != nil {
				return err
			}
		}
	}
	return nil
}

func (g *Cgroup) frozen() bool {
	file, want := "freezer.state", "FROZEN"
	if g.how == byFreeze {
		file, want = "cgroup.events", "frozen 1"
	}
	content, err := os.ReadFile(filepath.Join(g.path, file))
	return err != nil || strings.Contains(string(content), want)
}

// killNow kills members that may end by themselves in this very moment: a number is
// only believed when it is still a member's after it was taken hold of.
func (g *Cgroup) killNow(members []int) {
	held := map[int]int{} // handle by number
	for _, pid := range members {
		if fd, err := unix.PidfdOpen(pid, 0); err == nil {
			held[pid] = fd
		} else if errors.Is(err, unix.ENOSYS) { // before Linux 5.3
			kill([]int{pid})
		}
	}
	still, _ := g.members() // an error: none is killed now, and Kill meets it again
	for pid, fd := range held {
		if slices.Contains(still, pid) {
			_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0) // it may have ended
		}
		_ = unix.Close(fd)
	}
}

func kill(members []int) {
	for _, pid := range members {
		_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
	}
}

// members are the processes in the group and in those below. None when it is gone.
func (g *Cgroup) members() ([]int, error) {
	var all []int
	err := g.each(func(dir string) error {
		content, err := os.ReadFile(filepath.Join(dir, procsFile))
		if gone(err) {
			return nil
		}
		for field := range strings.FieldsSeq(string(content)) {
			// 0 is a process that has no number here.
			if pid, err := strconv.Atoi(field); err == nil && pid > 1 {
				all = append(all, pid)
			}
		}
		return err
	})
	return all, err
}

// remove removes the group and those below, which have to be empty.
func (g *Cgroup) remove() error {
	var dirs []string
	if err := g.each(func(dir string) error { dirs = append(dirs, dir); return nil }); err != nil {
		return err
	}
	for _, dir := range slices.Backward(dirs) {
		if err := unix.Rmdir(dir); err != nil && !gone(err) {
			return &fs.PathError{Op: "removing", Path: dir, Err: err}
		}
	}
	return nil
}

// each visits the group and those below it, from above.
func (g *Cgroup) each(visit func(dir string) error) error {
	return filepath.WalkDir(g.path, func(dir string, d fs.DirEntry, err error) error {
		switch {
		case gone(err):
			return nil
		case err != nil:
			return err
		case !d.IsDir():
			return nil
		}
		return visit(dir)
	})
}

// gone reports what reading of a group says that was removed.
func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENODEV) }

func (g *Cgroup) write(file, text string) error {
	err := writeFile(filepath.Join(g.path, file), text)
	if gone(err) {
		return nil
	}
	return err
}

// writeFile writes to a file of the kernel's, in one piece.
func writeFile(file, text string) error {
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

func list(pids []int) string {
	var text []string
	for _, pid := range pids[:min(len(pids), 10)] {
		text = append(text, strconv.Itoa(pid))
	}
	return strings.Join(text, ", ")
}
