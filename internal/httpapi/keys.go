package httpapi

import (
	"context"
	"net/http"

	"github.com/terrace-cd/terrace/internal/service/keys"
	"github.com/terrace-cd/terrace/internal/wire"
)

func (a *API) keyRoutes(r *routes) {
	add(r, admins, http.MethodGet, "/api/v1/keys", "list-keys", "The keys that seal what is stored, without their secrets", func(ctx context.Context, _ *struct{}) (*body[wire.Keys], error) {
		st, err := a.Keys.Status(ctx)
		return &body[wire.Keys]{wireKeys(st)}, err
	})
	add(r, admins, http.MethodPost, "/api/v1/keys/rotate", "rotate-keys", "Seal with a new key from now on, and everything that is stored anew", func(ctx context.Context, _ *struct{}) (*body[wire.Keys], error) {
		st, err := a.Keys.Rotate(ctx, by(ctx))
		return &body[wire.Keys]{wireKeys(st)}, err
	})
	type keyPath struct {
		ID string `path:"id" maxLength:"64"`
	}
	add(r, admins, http.MethodDelete, "/api/v1/keys/{id}", "retire-key", "Delete a key on which nothing hangs any more", func(ctx context.Context, in *keyPath) (*none, error) {
		return &none{}, a.Keys.Retire(ctx, by(ctx), in.ID)
	})
}

func wireKeys(st keys.Status) wire.Keys {
	out := wire.Keys{Keys: []wire.Key{}, Masters: st.Masters, Retirable: st.Retirable, From: st.From}
	for _, k := range st.Keys {
		out.Keys = append(out.Keys, wire.Key{ID: k.ID, Seals: k.Seals, Master: k.Master, Made: k.Made})
	}
	if p := st.Passage; len(st.Keys) > 1 {
		out.Passage = &wire.KeyPassage{Pass: p.Pass, Looked: p.Looked, Sealed: p.Sealed, Lost: p.Lost, Done: !p.Ended.IsZero() || p.Pass > 1}
	}
	return out
}
