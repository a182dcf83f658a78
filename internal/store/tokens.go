package store

import "github.com/terrace-cd/terrace/internal/core"

const tokenColumns = "id, hash, kind, name, user_name, role, project, environment, run, fence, created, expires, revoked, parent"

func scanToken(r row) (v core.Token, err error) {
	var run *string
	err = r.Scan(&v.ID, &v.Hash, &v.Kind, &v.Name, &v.User, &v.Role, &v.Project, &v.Environment, &run, &v.Fence, into(&v.Created), into(&v.Expires), &v.Revoked, &v.Parent)
	if run != nil {
		v.Run = *run
	}
	return v, err
}

func (t *tx) AddToken(v core.Token) error {
	var run *string
	if v.Run != "" {
		run = &v.Run
	}
	return t.add("token "+v.ID+" exists", "INSERT INTO tokens ("+tokenColumns+") VALUES ("+placeholders(14)+")",
		v.ID, v.Hash, v.Kind, v.Name, v.User, v.Role, v.Project, v.Environment, run, v.Fence, micros(v.Created), micros(v.Expires), v.Revoked, v.Parent)
}

func (t *tx) TokenByHash(hash string) (core.Token, error) {
	return get(t, "token like this", scanToken, "SELECT "+tokenColumns+" FROM tokens WHERE hash = ?", hash)
}

func (t *tx) Tokens() ([]core.Token, error) {
	return list(t, scanToken, "SELECT "+tokenColumns+" FROM tokens ORDER BY created, id")
}

func (t *tx) RevokeToken(id string) error {
	return t.change("token "+id, "UPDATE tokens SET revoked = ? WHERE id = ?", true, id)
}

func (t *tx) RevokeRunTokens(run string) error {
	_, err := t.exec("UPDATE tokens SET revoked = ? WHERE run = ?", true, run)
	return err
}
