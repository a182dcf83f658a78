package store

import "github.com/terrace-cd/terrace/internal/core"

const projectColumns = "name, repo, branch, path, created, head, checked, check_error, stopped, stopped_head, acknowledged, webhook_token, sandbox, forge"

func scanProject(r row) (p core.Project, err error) {
	return p, r.Scan(&p.Name, &p.Repo, &p.Branch, &p.Path, into(&p.Created), &p.Head, into(&p.Checked), &p.CheckError,
		&p.Stopped, &p.StoppedHead, &p.Acknowledged, &p.WebhookToken, &maybe[core.Sandbox]{&p.Sandbox}, &maybe[core.Forge]{&p.Forge})
}

func (t *tx) AddProject(p core.Project) error {
	return t.add("a project named "+p.Name+" exists", "INSERT INTO projects ("+projectColumns+") VALUES ("+placeholders(14)+")",
		p.Name, p.Repo, p.Branch, p.Path, micros(p.Created), p.Head, micros(p.Checked), prose(p.CheckError),
		prose(p.Stopped), p.StoppedHead, p.Acknowledged, p.WebhookToken, maybe[core.Sandbox]{&p.Sandbox}, maybe[core.Forge]{&p.Forge})
}

func (t *tx) Project(name string) (core.Project, error) {
	return get(t, "project "+name, scanProject, "SELECT "+projectColumns+" FROM projects WHERE name = ?", name)
}

func (t *tx) Projects() ([]core.Project, error) {
	return list(t, scanProject, "SELECT "+projectColumns+" FROM projects ORDER BY name")
}

func (t *tx) UpdateProject(p core.Project) error {
	return t.change("project "+p.Name, `UPDATE projects SET repo = ?, branch = ?, path = ?, head = ?, checked = ?, check_error = ?,
		stopped = ?, stopped_head = ?, acknowledged = ?, webhook_token = ?, sandbox = ?, forge = ? WHERE name = ?`,
		p.Repo, p.Branch, p.Path, p.Head, micros(p.Checked), prose(p.CheckError), prose(p.Stopped), p.StoppedHead, p.Acknowledged, p.WebhookToken, maybe[core.Sandbox]{&p.Sandbox}, maybe[core.Forge]{&p.Forge}, p.Name)
}

// RemoveProject relies on ON DELETE CASCADE for what belongs to the project.
func (t *tx) RemoveProject(name string) error {
	return t.change("project "+name, "DELETE FROM projects WHERE name = ?", name)
}

func (t *tx) PutSecret(project, environment, name string, sealed []byte) error {
	_, err := t.exec(`INSERT INTO secrets (project, environment, name, sealed) VALUES (?, ?, ?, ?)
		ON CONFLICT (project, environment, name) DO UPDATE SET sealed = excluded.sealed`, project, environment, name, sealed)
	return err
}

func (t *tx) Secret(project, environment, name string) ([]byte, error) {
	return get(t, "secret "+name+" in "+environment, scanBytes,
		"SELECT sealed FROM secrets WHERE project = ? AND environment = ? AND name = ?", project, environment, name)
}

func (t *tx) SecretNames(project, environment string) ([]string, error) {
	return list(t, scanString, "SELECT name FROM secrets WHERE project = ? AND environment = ? ORDER BY name", project, environment)
}

func (t *tx) DeleteSecret(project, environment, name string) error {
	return t.change("secret "+name+" in "+environment, "DELETE FROM secrets WHERE project = ? AND environment = ? AND name = ?", project, environment, name)
}
