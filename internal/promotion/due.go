package promotion

import "time"

// watchPause is how long a bake's verification that could not be asked, or not be
// answered, is left alone before it is asked again.
const watchPause = 10 * time.Second

// NextDue is when time alone makes something due, and so when Decide has to be asked
// again even if nothing happens: the end of a bake, or of the pause before a bake's
// verification is asked again, the opening of a window that somebody waits for, the
// beginning and the end of a freeze, the moment in which an approval stops counting, or a
// look at what is there.
// Zero: never.
func NextDue(s Snapshot, now time.Time) time.Time {
	var next time.Time
	earlier := func(t time.Time) {
		if t.After(now) && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	for i := range s.Rollouts {
		for j := range s.Rollouts[i].Stages {
			st := &s.Rollouts[i].Stages[j]
			if !baking(st) {
				if !st.Status.Terminal() && alive(&s.Rollouts[i]) {
					earlier(NextOpening(st.Config.Windows, now))
					for _, f := range st.Config.Freezes {
						earlier(f.From)
						earlier(f.Until)
					}
				}
				for _, in := range st.Instances {
					if in.Run != nil && in.Run.Approval != nil && !in.Run.Approval.Until.IsZero() {
						earlier(in.Run.Approval.Until)
					}
				}
				continue
			}
			if left := st.Config.Bake - st.Baked; left > 0 {
				earlier(now.Add(left))
			}
			for _, in := range st.Instances {
				if in.Watch != nil && in.Watch.Status.Terminal() {
					earlier(in.Watch.Finished.Add(watchPause))
				}
			}
		}
	}
	for _, at := range s.Sights {
		if s.idle(at) {
			earlier(at.next())
		}
	}
	return next
}
