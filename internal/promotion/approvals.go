package promotion

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
)

// Requirement is what one source asks for before a plan may be applied: rule 11, and what
// rules 15 and 27 add to it.
type Requirement struct {
	// Source is where it is written, for people: "terrace.hcl of release 12".
	Source string
	// Why is what of the plan made it necessary, "" where every plan needs it.
	Why   string
	Count int
	// From are those who may approve, as "user:NAME" or "group:NAME"; empty means any operator.
	From []string
	// Others excludes the commit's author and committer, and who asked for the rollout.
	Others bool
	// Expires is how long an approval counts; 0 means for ever.
	Expires time.Duration
}

// Proposal is a plan with all that decides whether it may be applied.
type Proposal struct {
	Instance     string
	Kind         core.RunKind
	Binding      core.Binding
	Requirements []Requirement
	// Votes are those on the plans that the stage had for the instance, oldest first.
	Votes []core.Vote
	// Authors are those who voted, or want to, and are the commit's author or committer;
	// Requester is who asked for the rollout; each as "user:NAME".
	Authors   []string
	Requester string
	// Groups are those of people that are asked for, by "user:NAME", as "group:NAME"; Empty
	// are those that nobody is in.
	Groups map[string][]string
	Empty  []string
	// Changed says of votes, by ID, what the plan would do that the approved one would not.
	Changed map[string]string
}

// Tally is what the votes on a proposal amount to.
type Tally struct {
	Rejected *core.Vote
	// Given are the approvals that count for at least one requirement.
	Given []core.Vote
	// Missing are the requirements that are not met.
	Missing []Missing
	// Void are the approvals that do not count any more.
	Void []Void
	// Until is when the first of Given stops counting; zero for never.
	Until time.Time
	// Faded are those of Given, by ID, that have expired for another requirement: whoever
	// gave them may say yes again.
	Faded []string
}

// Missing is a requirement that Need more approvals would meet.
type Missing struct {
	Requirement
	Need int
}

// Void is an approval that does not count any more.
type Void struct {
	core.Vote
	Why string
	// Changed: what it is for has changed, so it is void for good.
	Changed bool
}

// Satisfied reports whether the plan may be applied.
func (t Tally) Satisfied() bool { return t.Rejected == nil && len(t.Missing) == 0 }

// By returns the approval of somebody that counts for all that it can, nil when there is
// none.
func (t Tally) By(who string) *core.Vote {
	for i := range t.Given {
		if t.Given[i].By == who && !slices.Contains(t.Faded, t.Given[i].ID) {
			return &t.Given[i]
		}
	}
	return nil
}

// Count decides rule 11: every requirement is met on its own, each by as many people as it
// asks for; somebody who is in From of several counts for each of them, and for one of
// them once. One rejection stops.
func Count(p Proposal, now time.Time) Tally {
	var t Tally
	counted := make([]map[string]bool, len(p.Requirements))
	for i := range counted {
		counted[i] = map[string]bool{}
	}
	for i, v := range p.Votes {
		switch why := cmp.Or(v.Void, p.differs(v)); {
		case !v.Approves && v.Void == "":
			t.Rejected = &p.Votes[i]
		case !v.Approves:
		case why != "":
			t.Void = append(t.Void, Void{Vote: v, Why: why, Changed: true})
		default:
			t.add(p, v, counted, now)
		}
	}
	for i, r := range p.Requirements {
		if need := r.Count - len(counted[i]); need > 0 {
			t.Missing = append(t.Missing, Missing{Requirement: r, Need: need})
		}
	}
	return t
}

// add counts an approval of this very plan for each requirement that it meets.
func (t *Tally) add(p Proposal, v core.Vote, counted []map[string]bool, now time.Time) {
	void := Void{Vote: v}
	given, faded := false, false
	for i, r := range p.Requirements {
		end := v.At.Add(r.Expires)
		switch why := p.refuses(r, v.By); {
		case why != "":
			void.Why = cmp.Or(void.Why, why)
		case r.Expires > 0 && !now.Before(end):
			void.Why, faded = expired(v, r), true
		default:
			given, counted[i][v.By] = true, true
			if r.Expires > 0 && (t.Until.IsZero() || end.Before(t.Until)) {
				t.Until = end
			}
		}
	}
	if !given && len(p.Requirements) > 0 {
		t.Void = append(t.Void, void)
		return
	}
	t.Given = append(t.Given, v)
	if faded {
		t.Faded = append(t.Faded, v.ID)
	}
}

// MayVote says why somebody may not approve or reject a plan, "" when they may. Whoever is
// in From may reject, also what they wrote or asked for themselves.
func MayVote(p Proposal, who string, approves bool) string {
	var refused []string
	for _, r := range p.Requirements {
		why := p.refuses(r, who)
		if why == "" || !approves && p.in(r.From, who) {
			return ""
		}
		if !slices.Contains(refused, why) {
			refused = append(refused, why)
		}
	}
	return mayNot(p, who, approves, refused)
}

// refuses says why an approval of somebody does not count for a requirement, "" when it does.
func (p Proposal) refuses(r Requirement, who string) string {
	switch {
	case !p.in(r.From, who):
		return nameOf(who) + " is not " + peopleOf(r.From)
	case r.Others:
		return p.involved(who)
	}
	return ""
}

// in reports whether somebody is among people.
func (p Proposal) in(people []string, who string) bool {
	return len(people) == 0 || slices.ContainsFunc(people, func(one string) bool { return one == who || slices.Contains(p.Groups[who], one) })
}

// involved says how somebody brought a change about, "" when they did not.
func (p Proposal) involved(who string) string {
	switch {
	case slices.Contains(p.Authors, who):
		return nameOf(who) + " wrote the commit"
	case who == p.Requester:
		return nameOf(who) + " asked for the rollout"
	}
	return ""
}

// Wrote reports whether a user is behind the name or address of a commit ("Name <address>")
// although nobody said so: the user is called as the whole address, the part before
// the @, or the name. Better a person too many is kept from approving.
func Wrote(user, signature string) bool {
	name, address := signature, ""
	if i := strings.LastIndexByte(signature, '<'); i >= 0 {
		name, address = strings.TrimSpace(signature[:i]), strings.TrimSuffix(signature[i+1:], ">")
	}
	local, _, _ := strings.Cut(address, "@")
	return user != "" && slices.ContainsFunc([]string{name, address, local}, func(s string) bool { return strings.EqualFold(s, user) })
}
