package store

import (
	"strings"

	"github.com/terrace-cd/terrace/internal/core"
)

func scanPull(r row) (p core.Pull, err error) {
	return p, r.Scan(&p.Project, &p.Number, &p.Open, &document[core.PullFacts]{&p.PullFacts})
}

func (t *tx) PutPull(p core.Pull) error {
	_, err := t.exec(`INSERT INTO pulls (project, number, open, facts) VALUES (?, ?, ?, ?)
		ON CONFLICT (project, number) DO UPDATE SET open = excluded.open, facts = excluded.facts`, p.Project, p.Number, p.Open, document[core.PullFacts]{&p.PullFacts})
	return err
}

const pullSelect = "SELECT project, number, open, facts FROM pulls WHERE project = ?"

func (t *tx) Pull(project string, number int64) (core.Pull, error) {
	return get(t, "pull request", scanPull, pullSelect+" AND number = ?", project, number)
}

func (t *tx) Pulls(project string, open bool) ([]core.Pull, error) {
	query := pullSelect
	if open {
		query += " AND open = 1"
	}
	return list(t, scanPull, query+" ORDER BY number", project)
}

func scanPreview(r row) (p core.Preview, err error) {
	return p, r.Scan(&p.ID, &p.Project, &p.Pull, &p.Status, into(&p.Created), &p.Tree, &document[core.PreviewFacts]{&p.PreviewFacts})
}

const previewColumns = "id, project, pull, status, created, tree, facts"

func (t *tx) AddPreview(p core.Preview) error {
	return t.add("the preview "+p.ID+" exists", "INSERT INTO previews ("+previewColumns+") VALUES ("+placeholders(7)+")",
		p.ID, p.Project, p.Pull, p.Status, micros(p.Created), p.Tree, document[core.PreviewFacts]{&p.PreviewFacts})
}

func (t *tx) UpdatePreview(p core.Preview, from core.PreviewStatus) error {
	n, err := t.exec("UPDATE previews SET status = ?, tree = ?, facts = ? WHERE id = ? AND status = ?", p.Status, p.Tree, document[core.PreviewFacts]{&p.PreviewFacts}, p.ID, from)
	if err != nil || n > 0 {
		return err
	}
	return t.guard("preview "+p.ID, "SELECT status FROM previews WHERE id = ?", p.ID, string(from))
}

func (t *tx) Preview(id string) (core.Preview, error) {
	return get(t, "preview "+id, scanPreview, "SELECT "+previewColumns+" FROM previews WHERE id = ?", id)
}

func (t *tx) Previews(f core.PreviewFilter) ([]core.Preview, error) {
	var w where
	w.is("project", f.Project)
	w.is("tree", f.Tree)
	if f.Pull != 0 {
		w.conditions, w.args = append(w.conditions, "pull = ?"), append(w.args, f.Pull)
	}
	if f.Under {
		w.conditions, w.args = append(w.conditions, "status IN (?, ?)"), append(w.args, core.PreviewWaiting, core.PreviewRunning)
	}
	return list(t, scanPreview, "SELECT "+previewColumns+" FROM previews"+w.String()+" ORDER BY created DESC, id DESC"+limit(f.Limit), w.args...)
}

func (t *tx) PrunePreviews(project string, keep int) error {
	all, err := t.Previews(core.PreviewFilter{Project: project})
	if err != nil || len(all) <= keep {
		return err
	}
	var old []any
	for _, p := range all[keep:] {
		if p.Status.Terminal() {
			old = append(old, p.ID)
		}
	}
	const most = 500 // parameters of a statement
	for len(old) > 0 {
		some := old[:min(most, len(old))]
		old = old[len(some):]
		in := " IN (" + placeholders(len(some)) + ")"
		if _, err := t.exec("UPDATE runs SET preview = '' WHERE preview"+in, some...); err != nil {
			return err
		}
		if _, err := t.exec("DELETE FROM previews WHERE id"+in, some...); err != nil {
			return err
		}
	}
	return nil
}

func scanPost(r row) (p core.Post, err error) {
	return p, r.Scan(&p.Project, &p.Key, &document[core.PostFacts]{&p.PostFacts})
}

func (t *tx) PutPost(p core.Post) error {
	_, err := t.exec("INSERT INTO posts (project, key, facts) VALUES (?, ?, ?) ON CONFLICT (project, key) DO UPDATE SET facts = excluded.facts",
		p.Project, p.Key, document[core.PostFacts]{&p.PostFacts})
	return err
}

func (t *tx) Post(project, key string) (core.Post, error) {
	return get(t, "post "+strings.TrimSpace(key), scanPost, "SELECT project, key, facts FROM posts WHERE project = ? AND key = ?", project, key)
}

func (t *tx) DeletePost(project, key string) error {
	return t.change("post "+key, "DELETE FROM posts WHERE project = ? AND key = ?", project, key)
}
