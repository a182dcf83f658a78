// Package examples holds repositories to start from, embedded so that the binary can
// set them up on a machine that has nothing else: the demo runs the shop.
package examples

import (
	"embed"
	"io/fs"
)

//go:embed shop bluegreen image
var all embed.FS

// Shop returns the files of the shop's repository: a network, a database, and web
// servers behind a load balancer, in three environments.
func Shop() fs.FS { return folder("shop") }

// BlueGreen returns the files of a repository whose servers are replaced without a request
// that fails, in a canary before production.
func BlueGreen() fs.FS { return folder("bluegreen") }

// Image returns the files of a repository whose servers are made from an image that is built
// once for all environments.
func Image() fs.FS { return folder("image") }

func folder(name string) fs.FS {
	files, err := fs.Sub(all, name)
	if err != nil {
		panic(err) // only a wrong name in this file can do that
	}
	return files
}
