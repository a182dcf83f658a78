package store

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/terrace-cd/terrace/internal/core"
)

const releaseColumns = "project, number, commit_id, author, committer, message, committed, created, barrier, invalid"

func scanRelease(r row) (v core.Release, err error) {
	return v, r.Scan(&v.Project, &v.Number, &v.Commit, &v.Author, &v.Committer, &v.Message, into(&v.Committed), into(&v.Created), &v.Barrier, &v.Invalid)
}

// joinedRelease are the columns of a release beside a row x that names it by
// x.release_number and x.release_commit. A commit that is no release (of a preview)
// has only these two.
const joinedRelease = `x.project, x.release_number, x.release_commit, coalesce(r.author, ''), coalesce(r.committer, ''), coalesce(r.message, ''),
	coalesce(r.committed, 0), coalesce(r.created, 0), coalesce(r.barrier, 0), coalesce(r.invalid, '')`

const joinRelease = " x LEFT JOIN releases r ON r.project = x.project AND r.commit_id = x.release_commit"

// releaseFields are the destinations of joinedRelease.
func releaseFields(v *core.Release) []any {
	return []any{&v.Project, &v.Number, &v.Commit, &v.Author, &v.Committer, &v.Message, into(&v.Committed), into(&v.Created), &v.Barrier, &v.Invalid}
}

func (t *tx) AddRelease(v core.Release) error {
	return t.add(fmt.Sprintf("%s has a release of commit %s, or one with number %d, already", v.Project, core.ShortCommit(v.Commit), v.Number),
		"INSERT INTO releases ("+releaseColumns+") VALUES ("+placeholders(10)+")",
		v.Project, v.Number, v.Commit, prose(v.Author), prose(v.Committer), prose(v.Message), micros(v.Committed), micros(v.Created), v.Barrier, prose(v.Invalid))
}

func (t *tx) Release(project, commit string) (core.Release, error) {
	return get(t, "release of commit "+commit+" in "+project, scanRelease,
		"SELECT "+releaseColumns+" FROM releases WHERE project = ? AND commit_id = ?", project, commit)
}

// FindRelease prefers a number: a prefix of four digits that is both is not a
// commit that anybody would write.
func (t *tx) FindRelease(project, ref string) (core.Release, error) {
	what := fmt.Sprintf("release %q in %s", ref, project)
	if number, err := strconv.ParseInt(ref, 10, 64); err == nil {
		v, err := get(t, what, scanRelease, "SELECT "+releaseColumns+" FROM releases WHERE project = ? AND number = ?", project, number)
		if core.CodeOf(err) != core.NotFound {
			return v, err
		}
	}
	prefix := strings.ToLower(ref)
	if len(prefix) < 4 || strings.Trim(prefix, "0123456789abcdef") != "" {
		if _, err := strconv.ParseInt(ref, 10, 64); err == nil {
			return core.Release{}, missing(what)
		}
		return core.Release{}, core.Errorf(core.Invalid, "%q is neither a release's number nor at least 4 characters of its commit", ref)
	}
	// "g" is what follows the last hexadecimal digit.
	found, err := list(t, scanRelease, "SELECT "+releaseColumns+" FROM releases WHERE project = ? AND commit_id >= ? AND commit_id < ? ORDER BY commit_id LIMIT 3",
		project, prefix, prefix+"g")
	switch {
	case err != nil:
		return core.Release{}, err
	case len(found) == 0:
		return core.Release{}, missing(what)
	case len(found) > 1:
		return core.Release{}, core.Errorf(core.Invalid, "%q fits several commits of %s, among them %s and %s; write more of it", ref, project, found[0].Commit, found[1].Commit)
	}
	return found[0], nil
}

func (t *tx) Releases(project string, n int) ([]core.Release, error) {
	return list(t, scanRelease, "SELECT "+releaseColumns+" FROM releases WHERE project = ? ORDER BY number DESC"+limit(n), project)
}

func (t *tx) LatestRelease(project string) (core.Release, error) {
	return get(t, "release of "+project+" yet", scanRelease,
		"SELECT "+releaseColumns+" FROM releases WHERE project = ? ORDER BY number DESC LIMIT 1", project)
}

func (t *tx) RenumberRelease(project, commit string, number int64) error {
	return t.change("release of commit "+commit+" in "+project, "UPDATE releases SET number = ? WHERE project = ? AND commit_id = ?", number, project, commit)
}

func (t *tx) SetReleaseInvalid(project, commit, diagnostics string) error {
	return t.change("release of commit "+commit+" in "+project, "UPDATE releases SET invalid = ? WHERE project = ? AND commit_id = ?", prose(diagnostics), project, commit)
}
