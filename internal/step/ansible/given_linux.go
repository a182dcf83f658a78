package ansible

import (
	"os"

	"golang.org/x/sys/unix"
)

// nameless is a file in memory. Its mode says that it is no program: Ansible would run
// an executable file to get a vault password from it.
func nameless(name string) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return unlinked() // before Linux 3.17, and under some filters of system calls
	}
	f := os.NewFile(uintptr(fd), name)
	if err := f.Chmod(0o600); err != nil {
		_ = f.Close() // empty
		return nil, err
	}
	return f, nil
}
