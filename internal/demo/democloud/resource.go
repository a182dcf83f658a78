package democloud

import (
	"crypto/rand"
	"encoding/hex"
	"io/fs"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
)

// Type is a type of resource.
type Type string

// The types of resources.
const (
	Network      Type = "network"
	Server       Type = "server"
	LoadBalancer Type = "load_balancer"
	DNSRecord    Type = "dns_record"
	Database     Type = "database"
	Image        Type = "image"
)

// Types lists all types, in the order in which they are shown.
var Types = []Type{Network, Server, LoadBalancer, DNSRecord, Database, Image}

var idPrefix = map[Type]string{Network: "net", Server: "srv", LoadBalancer: "lb", DNSRecord: "dns", Database: "db", Image: "img"}

// State is where a resource is in its life.
type State string

const (
	// Creating: made, and not usable before its latency has passed.
	Creating State = "creating"
	// Ready: usable.
	Ready State = "ready"
	// Stopped: a server that somebody switched off; it keeps its folder and address.
	Stopped State = "stopped"
)

// Resource is one thing in the cloud.
type Resource struct {
	ID      string    `json:"id"`
	Type    Type      `json:"type"`
	Tenant  string    `json:"tenant"`
	Name    string    `json:"name"`
	Spec    Spec      `json:"spec"`
	State   State     `json:"state"`
	ReadyAt time.Time `json:"ready_at,omitzero"`
	Created time.Time `json:"created"`
	Updated time.Time `json:"updated"`
	// Seq is the journal's number of the last change.
	Seq int64 `json:"seq"`

	// Address is host:port of a ready server or load balancer.
	Address string `json:"address,omitempty"`
	// URL is where it is reached: http:// for servers and load balancers,
	// file:// for databases.
	URL string `json:"url,omitempty"`
	// Root is a server's folder: what it serves.
	Root string `json:"root,omitempty"`
	// Path is a database's folder.
	Path string `json:"path,omitempty"`
	// Username and Password open a database. The password is computed when it is
	// asked for and stored nowhere.
	Username string `json:"username,omitempty"`
	Password string `json:"password,omitempty"`
}

// Spec is what the owner of a resource asks for; each type has its own fields.
type Spec struct {
	// CIDR of a network; fixed.
	CIDR string `json:"cidr,omitempty"`
	// NetworkID of a server or load balancer, optional; fixed.
	NetworkID string `json:"network_id,omitempty"`
	// Image of a server, fixed: the id of an image, of whatever tenant, or any word.
	Image string `json:"image,omitempty"`
	// Files of an image, by path, fixed: what servers that are made from it serve.
	Files map[string]string `json:"files,omitempty"`
	// Size of a server or database.
	Size string `json:"size,omitempty"`
	// Servers are the ids behind a load balancer, in the order they are tried.
	Servers []string `json:"servers,omitempty"`
	// HealthPath is what a load balancer asks its servers for.
	HealthPath string `json:"health_path,omitempty"`
	// RecordType of a DNS record (A, CNAME, TXT, SRV); fixed.
	RecordType string `json:"record_type,omitempty"`
	// Value of a DNS record.
	Value string `json:"value,omitempty"`
	// TTL of a DNS record in seconds.
	TTL int64 `json:"ttl,omitempty"`
	// Engine of a database; fixed.
	Engine string `json:"engine,omitempty"`
}

// What a size and a record type may be.
var (
	Sizes       = []string{"small", "medium", "large"}
	RecordTypes = []string{"A", "CNAME", "TXT", "SRV"}
)

var (
	tenantPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
	namePattern   = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,252}$`)
)

// withDefaults fills what the owner left out.
func (s Spec) withDefaults(t Type) Spec {
	set := func(field *string, value string) {
		if *field == "" {
			*field = value
		}
	}
	switch t {
	case Server:
		set(&s.Size, "small")
	case LoadBalancer:
		set(&s.HealthPath, "/healthz")
	case DNSRecord:
		set(&s.RecordType, "A")
		if s.TTL == 0 {
			s.TTL = 60
		}
	case Database:
		set(&s.Engine, "postgres")
		set(&s.Size, "small")
	}
	return s
}

// check judges a spec by itself; that what it refers to exists is asked elsewhere.
func (s Spec) check(t Type) error {
	invalid := func(format string, args ...any) error { return core.Errorf(core.Invalid, format, args...) }
	switch t {
	case Network:
		if _, err := netip.ParsePrefix(s.CIDR); err != nil {
			return invalid("cidr %q is not a network such as 10.0.0.0/16", s.CIDR)
		}
	case Server:
		if s.Image == "" {
			return invalid("a server needs an image")
		}
	case Image:
		for name := range s.Files {
			if !fs.ValidPath(name) || name == "." {
				return invalid("%q is not the path of a file in an image", name)
			}
		}
		if len(s.Files) == 0 {
			return invalid("an image needs files")
		}
	case LoadBalancer:
		if !strings.HasPrefix(s.HealthPath, "/") {
			return invalid("health_path %q does not begin with /", s.HealthPath)
		}
	case DNSRecord:
		if !slices.Contains(RecordTypes, s.RecordType) {
			return invalid("record type %q is none of %s", s.RecordType, strings.Join(RecordTypes, ", "))
		}
		if s.Value == "" {
			return invalid("a DNS record needs a value")
		}
		if s.TTL < 0 {
			return invalid("ttl %d is negative", s.TTL)
		}
	}
	if (t == Server || t == Database) && !slices.Contains(Sizes, s.Size) {
		return invalid("size %q is none of %s", s.Size, strings.Join(Sizes, ", "))
	}
	return nil
}

// fixedChange names the field in which s differs from old although it can't be
// changed in place, "" when there is none.
func (s Spec) fixedChange(old Spec) string {
	for _, f := range []struct{ name, now, was string }{
		{"cidr", s.CIDR, old.CIDR},
		{"network_id", s.NetworkID, old.NetworkID},
		{"image", s.Image, old.Image},
		{"record_type", s.RecordType, old.RecordType},
		{"engine", s.Engine, old.Engine},
	} {
		if f.now != f.was {
			return f.name
		}
	}
	if !maps.Equal(s.Files, old.Files) {
		return "files"
	}
	return ""
}

func checkNames(tenant, name string, t Type) error {
	if !slices.Contains(Types, t) {
		return core.Errorf(core.NotFound, "there is no resource type %q", t)
	}
	if !tenantPattern.MatchString(tenant) {
		return core.Errorf(core.Invalid, "tenant %q is not made of lower-case letters, digits and hyphens", tenant)
	}
	if !namePattern.MatchString(name) {
		return core.Errorf(core.Invalid, "name %q of a %s is not made of letters, digits, dots, hyphens and underscores", name, t)
	}
	return nil
}

func newID(t Type) string {
	var b [5]byte
	if _, err := rand.Read(b[:]); err != nil {
		panic(err) // crypto/rand never fails on the systems Go supports
	}
	return idPrefix[t] + "-" + hex.EncodeToString(b[:])
}
