package policy

// SetLimits bounds a set's evaluations.
func SetLimits(s *Set, l Limits) { s.limits = l }
