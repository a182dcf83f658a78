package core

import (
	"regexp"
	"strings"
	"time"
)

// Module is a module that the registry serves: the folder Path of a repository, in one
// version for each tag that fits Tags.
type Module struct {
	Address string // NAMESPACE/NAME/SYSTEM
	Repo    string
	Path    string // of its folder, "." for the root
	Tags    string // with one *, which stands for the version: "v*", "vpc/v*"
	By      string
	Created time.Time
	Checked time.Time // when the tags were read last
	// CheckError says why they could not be, "" when they could.
	CheckError string
}

// ModuleVersion is one version of a module. Its commit never changes: who moves the tag
// changes Moved.
type ModuleVersion struct {
	Module  string // its address
	Version string // without "v"
	Tag     string
	Commit  string
	Seen    time.Time
	// Moved is the commit that the tag was seen at later, "" while it stays where it was.
	Moved string
	// Gone: the repository does not have the tag any more. Releases that were made with the
	// version keep it; no other gets it.
	Gone bool
}

// ResolvedModule is what the registry gives to one call of a module in a folder of a
// release: which version its constraint means there, for good.
type ResolvedModule struct {
	Module     string `json:"module"`
	Constraint string `json:"constraint,omitempty"`
	// Version is "" when none fitted when the release was made.
	Version string `json:"version,omitempty"`
	Commit  string `json:"commit,omitempty"`
	// In is the module, as ADDRESS VERSION, that calls it; "" for the stack's own code.
	In string `json:"in,omitempty"`
}

// Modules stores the module registry, and what it gives to releases.
type Modules interface {
	AddModule(Module) error // Conflict when the address is taken
	Module(address string) (Module, error)
	Modules() ([]Module, error) // by address
	// CheckedModule notes that the tags were read, or why they could not be.
	CheckedModule(address, problem string, at time.Time) error
	// RemoveModule deletes the module with its versions.
	RemoveModule(address string) error

	AddModuleVersion(ModuleVersion) error // Conflict when there is one
	// ModuleVersions are those of a module, in the order in which they were seen.
	ModuleVersions(address string) ([]ModuleVersion, error)
	// NoteModuleTag writes Moved and Gone of a version.
	NoteModuleTag(v ModuleVersion) error

	// PutReleaseModules fixes what the registry gives to the folders of a release, by path.
	// It is written once: Conflict when the release has one already.
	PutReleaseModules(project, commit string, folders map[string][]ResolvedModule) error
	// ReleaseModules is nil for a release that uses nothing of the registry.
	ReleaseModules(project, commit string) (map[string][]ResolvedModule, error)
}

// Bounds of a module's address: they are those of the protocol's clients.
var (
	moduleName   = regexp.MustCompile(`^[0-9A-Za-z](?:[0-9A-Za-z_-]{0,62}[0-9A-Za-z])?$`)
	moduleSystem = regexp.MustCompile(`^[0-9a-z]{1,64}$`)
	tagPattern   = regexp.MustCompile(`^[0-9A-Za-z._/@+-]*\*[0-9A-Za-z._/@+-]*$`)
)

// ValidModule reports whether an address is NAMESPACE/NAME/SYSTEM as engines take it.
func ValidModule(address string) bool {
	parts := strings.Split(address, "/")
	return len(parts) == 3 && moduleName.MatchString(parts[0]) && moduleName.MatchString(parts[1]) && moduleSystem.MatchString(parts[2])
}

// CheckModule says what is wrong with a module's address or the pattern of its tags.
func CheckModule(address, tags string) error {
	if !ValidModule(address) {
		return Errorf(Invalid, "%.200q cannot be the address of a module: it is NAMESPACE/NAME/SYSTEM, as platform/vpc/aws; letters, digits, - and _, the system small letters and digits", address)
	}
	if len(tags) > 200 || !tagPattern.MatchString(tags) || strings.HasPrefix(tags, "-") || strings.Contains(tags, "..") || strings.Contains(tags, "//") {
		return Errorf(Invalid, "%.200q cannot be the pattern of a module's tags: it has one *, which stands for the version, as v* or vpc/v*", tags)
	}
	return nil
}
