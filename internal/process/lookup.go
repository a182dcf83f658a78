package process

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Lookup finds a program in the PATH of an environment, not of this program.
func Lookup(env []string, name string) (string, error) {
	for _, v := range env {
		if list, ok := strings.CutPrefix(v, "PATH="); ok {
			for _, dir := range filepath.SplitList(list) {
				file := filepath.Join(dir, name)
				if info, err := os.Stat(file); err == nil && filepath.IsAbs(dir) && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
					return file, nil
				}
			}
		}
	}
	return "", &exec.Error{Name: name, Err: exec.ErrNotFound}
}
