package guard

import "slices"

// request finds who asked for the replacement of an address, nil when nobody did.
func (in Input) request(address string) *Request {
	if i := slices.IndexFunc(in.Requests, func(r Request) bool { return r.Address == address }); i >= 0 {
		return &in.Requests[i]
	}
	return nil
}

// requested says what becomes of the replacements that people asked for. They are judged
// like any other; this only tells why they are there.
func (in Input) requested(v *Verdict) {
	for _, q := range in.Requests {
		action := ""
		for _, r := range in.Plan.Resources {
			if r.Address == q.Address {
				action = r.Action
			}
		}
		why := ""
		if q.Reason != "" {
			why = ": " + q.Reason
		}
		switch action {
		case "replace":
			v.add(Requested, Pass, "%s is replaced, as %s asked%s", q.Address, q.By, why)
		case "create":
			v.add(Requested, Pass, "%s is made anew, as %s asked%s; the old one is gone already", q.Address, q.By, why)
		case "delete", "forget":
			v.add(Requested, Pass, "%s is not replaced, as %s asked%s; it leaves with this release", q.Address, q.By, why)
		default:
			v.add(Requested, Warn, "%s asked for the replacement of %s%s, and the engine does not plan it: it is neither in the code nor in the state. The request ends with this apply", q.By, q.Address, why)
		}
	}
}
