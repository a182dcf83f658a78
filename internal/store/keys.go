package store

import "github.com/terrace-cd/terrace/internal/core"

const keyColumns = "id, kind, seq, master, wrapped, made"

func scanKey(r row) (k core.StoredKey, err error) {
	return k, r.Scan(&k.ID, &k.Kind, &k.Seq, &k.Master, &k.Wrapped, into(&k.Made))
}

func (t *tx) AddKey(k core.StoredKey) error {
	if k.Seq == 0 {
		all, err := t.StoredKeys()
		if err != nil {
			return err
		}
		k.Seq = 1
		if len(all) > 0 {
			k.Seq = all[0].Seq + 1
		}
	}
	_, err := t.exec("INSERT INTO keys ("+keyColumns+") VALUES ("+placeholders(6)+")", k.ID, k.Kind, k.Seq, k.Master, k.Wrapped, micros(k.Made))
	return err
}

func (t *tx) StoredKeys() ([]core.StoredKey, error) {
	return list(t, scanKey, "SELECT "+keyColumns+" FROM keys ORDER BY seq DESC")
}

func (t *tx) WrapKey(id, master string, wrapped []byte) error {
	n, err := t.exec("UPDATE keys SET master = ?, wrapped = ? WHERE id = ?", master, wrapped, id)
	if err == nil && n == 0 {
		err = missing("key " + id)
	}
	return err
}

func (t *tx) DeleteKey(id string) error {
	_, err := t.exec("DELETE FROM keys WHERE id = ?", id)
	return err
}
