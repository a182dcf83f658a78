package runner

import "errors"

var keptNames = []string{".terraform", ".terraform.lock.hcl"}

func (a *attempt) deploy() error { return errors.New("not built yet") }
