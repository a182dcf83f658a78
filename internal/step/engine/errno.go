package engine

import (
	"errors"
	"syscall"
)

func isNotEmpty(err error) bool    { return errors.Is(err, syscall.ENOTEMPTY) }
func isOtherDevice(err error) bool { return errors.Is(err, syscall.EXDEV) }
