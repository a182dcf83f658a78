package store

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
)

const moduleColumns = "address, repo, path, tags, actor, created, checked, check_error"

func scanModule(r row) (m core.Module, err error) {
	return m, r.Scan(&m.Address, &m.Repo, &m.Path, &m.Tags, &m.By, into(&m.Created), into(&m.Checked), &m.CheckError)
}

func (t *tx) AddModule(m core.Module) error {
	return t.add("the registry has a module "+m.Address+" already", "INSERT INTO modules ("+moduleColumns+") VALUES ("+placeholders(8)+")",
		m.Address, m.Repo, m.Path, m.Tags, m.By, micros(m.Created), micros(m.Checked), prose(m.CheckError))
}

func (t *tx) Module(address string) (core.Module, error) {
	return get(t, "module "+address+" in the registry", scanModule, "SELECT "+moduleColumns+" FROM modules WHERE address = ?", address)
}

func (t *tx) Modules() ([]core.Module, error) {
	return list(t, scanModule, "SELECT "+moduleColumns+" FROM modules ORDER BY address")
}

func (t *tx) CheckedModule(address, problem string, at time.Time) error {
	return t.change("module "+address+" in the registry", "UPDATE modules SET checked = ?, check_error = ? WHERE address = ?", micros(at), prose(problem), address)
}

func (t *tx) RemoveModule(address string) error {
	return t.change("module "+address+" in the registry", "DELETE FROM modules WHERE address = ?", address)
}

const moduleVersionColumns = "module, version, tag, commit_id, seen, moved, gone"

func scanModuleVersion(r row) (v core.ModuleVersion, err error) {
	return v, r.Scan(&v.Module, &v.Version, &v.Tag, &v.Commit, into(&v.Seen), &v.Moved, &v.Gone)
}

func (t *tx) AddModuleVersion(v core.ModuleVersion) error {
	if _, err := t.Module(v.Module); err != nil {
		return err
	}
	return t.add(v.Module+" has a version "+v.Version+" already", "INSERT INTO module_versions ("+moduleVersionColumns+") VALUES ("+placeholders(7)+")",
		v.Module, v.Version, v.Tag, v.Commit, micros(v.Seen), v.Moved, v.Gone)
}

func (t *tx) ModuleVersions(address string) ([]core.ModuleVersion, error) {
	return list(t, scanModuleVersion, "SELECT "+moduleVersionColumns+" FROM module_versions WHERE module = ? ORDER BY seen, version", address)
}

func (t *tx) NoteModuleTag(v core.ModuleVersion) error {
	return t.change("version "+v.Version+" of "+v.Module, "UPDATE module_versions SET moved = ?, gone = ? WHERE module = ? AND version = ?", v.Moved, v.Gone, v.Module, v.Version)
}

func (t *tx) PutReleaseModules(project, commit string, folders map[string][]core.ResolvedModule) error {
	if _, err := t.Project(project); err != nil {
		return err
	}
	text, err := json.Marshal(folders) // maps are written in order
	if err != nil {
		return err
	}
	sum := sha256.Sum256(text)
	digest := hex.EncodeToString(sum[:])
	if _, err := t.exec("INSERT INTO module_sets (project, digest, folders) VALUES ("+placeholders(3)+") ON CONFLICT DO NOTHING", project, digest, string(text)); err != nil {
		return err
	}
	return t.add("what modules the release "+core.ShortCommit(commit)+" of "+project+" gets was said before",
		"INSERT INTO release_modules (project, commit_id, digest) VALUES ("+placeholders(3)+")", project, commit, digest)
}

func (t *tx) ReleaseModules(project, commit string) (folders map[string][]core.ResolvedModule, err error) {
	text, err := list(t, scanString, `SELECT s.folders FROM release_modules r JOIN module_sets s ON s.project = r.project AND s.digest = r.digest
		WHERE r.project = ? AND r.commit_id = ?`, project, commit)
	if err != nil || len(text) == 0 {
		return nil, err
	}
	err = json.Unmarshal([]byte(text[0]), &folders)
	return folders, err
}
