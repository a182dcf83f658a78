package web

import (
	"bytes"
	"embed"
	"hash/fnv"
	"io/fs"
	"net/http"
	"strconv"
	"time"
)

// htmx is by its contributors, under the Zero-Clause BSD licence (assets/NOTICE).
//
//go:embed assets
var assetFiles embed.FS

// versions is a digest of each asset. It is part of the address, so a browser may keep
// an asset for ever and still gets the new one after an upgrade.
var versions = func() map[string]string {
	out := map[string]string{}
	entries, err := fs.ReadDir(assetFiles, "assets")
	if err != nil {
		panic(err) // embedded: it is there or the build failed
	}
	for _, e := range entries {
		data, err := assetFiles.ReadFile("assets/" + e.Name())
		if err != nil {
			panic(err)
		}
		h := fnv.New64a()
		_, _ = h.Write(data)
		out[e.Name()] = strconv.FormatUint(h.Sum64(), 36)
	}
	return out
}()

func asset(name string) string { return "/assets/" + name + "?v=" + versions[name] }

func serveAsset(w http.ResponseWriter, req *http.Request) {
	name := req.PathValue("file")
	data, err := assetFiles.ReadFile("assets/" + name)
	if err != nil {
		http.NotFound(w, req)
		return
	}
	if req.URL.Query().Get("v") == versions[name] {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	http.ServeContent(w, req, name, time.Time{}, bytes.NewReader(data))
}

func serveFavicon(w http.ResponseWriter, req *http.Request) {
	http.Redirect(w, req, asset("logo.svg"), http.StatusFound)
}
