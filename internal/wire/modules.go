package wire

import "time"

// AddModule asks for a module in the registry.
type AddModule struct {
	Address string `json:"address" doc:"NAMESPACE/NAME/SYSTEM"`
	Repo    string `json:"repo"`
	Path    string `json:"path,omitempty" doc:"of its folder, default ."`
	Tags    string `json:"tags,omitempty" doc:"which tags are versions: a pattern with one *, which stands for the version; default *"`
}

// Module is a module of the registry.
type Module struct {
	Address    string          `json:"address"`
	Source     string          `json:"source" doc:"what a module block has as source"`
	Repo       string          `json:"repo"`
	Path       string          `json:"path"`
	Tags       string          `json:"tags"`
	By         string          `json:"by"`
	Created    time.Time       `json:"created"`
	Checked    time.Time       `json:"checked,omitzero" doc:"when something new was read last"`
	CheckError string          `json:"check_error,omitempty" doc:"why its tags cannot be read"`
	Newest     string          `json:"newest,omitempty" doc:"the version that a new use without a constraint gets"`
	Versions   []ModuleVersion `json:"versions" doc:"newest first"`
}

// ModuleVersion is one version of a module; its commit never changes.
type ModuleVersion struct {
	Version string    `json:"version"`
	Tag     string    `json:"tag"`
	Commit  string    `json:"commit"`
	Seen    time.Time `json:"seen"`
	Moved   string    `json:"moved,omitempty" doc:"the commit that the tag was moved to, which nobody gets"`
	Gone    bool      `json:"gone,omitempty" doc:"the tag is not there any more; releases that have the version keep it"`
}

// ShownModule is one version of a module, with what its code says of it and who uses it.
type ShownModule struct {
	Module
	Version string      `json:"version" doc:"the one that is described"`
	Docs    ModuleDocs  `json:"docs"`
	Users   []ModuleUse `json:"users" doc:"in the projects that the caller may look at"`
}

// ModuleDocs is what a module's code says of it.
type ModuleDocs struct {
	Readme    string              `json:"readme,omitempty"`
	Inputs    []ModuleInput       `json:"inputs"`
	Outputs   []ModuleOutput      `json:"outputs"`
	Providers []ModuleRequirement `json:"providers"`
	Modules   []ModuleRequirement `json:"modules" doc:"that it calls"`
	Resources []string            `json:"resources"`
	Examples  []ModuleExample     `json:"examples"`
	Trouble   []string            `json:"trouble,omitempty" doc:"files that could not be read"`
}

// ModuleInput is a variable of a module.
type ModuleInput struct {
	Name        string `json:"name"`
	Type        string `json:"type"`
	Default     string `json:"default,omitempty" doc:"as it is written"`
	Description string `json:"description,omitempty"`
	Required    bool   `json:"required"`
	Sensitive   bool   `json:"sensitive,omitempty"`
}

// ModuleOutput is an output of a module.
type ModuleOutput struct {
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	Sensitive   bool   `json:"sensitive,omitempty"`
}

// ModuleRequirement is a provider or a module that a module uses.
type ModuleRequirement struct {
	Name    string `json:"name"`
	Source  string `json:"source,omitempty"`
	Version string `json:"version,omitempty"`
}

// ModuleExample is a folder in a module's examples.
type ModuleExample struct {
	Name   string `json:"name"`
	Readme string `json:"readme,omitempty"`
	Code   string `json:"code"`
}

// ModuleUse is what an instance gets of a module of the registry.
type ModuleUse struct {
	Module     string `json:"module"`
	Project    string `json:"project"`
	Instance   string `json:"instance"`
	Constraint string `json:"constraint,omitempty" doc:"as it is written in the newest release; several with commas and semicolons"`
	In         string `json:"in,omitempty" doc:"the module that calls it, when the stack's own code does not"`
	Version    string `json:"version,omitempty" doc:"what the newest release gets; empty when it does not use it any more, or nothing fits"`
	Applied    string `json:"applied,omitempty" doc:"what was applied there last"`
	Newest     string `json:"newest,omitempty" doc:"of the registry"`
	Upgrade    bool   `json:"upgrade" doc:"an upgrade of the newest release to the newest version would touch this instance"`
}

// Registry is what the module registry gives to one run.
type Registry struct {
	Host    string           `json:"host" doc:"of the sources"`
	Modules []RegistryModule `json:"modules"`
}

// RegistryModule is a version of a module that a run may fetch.
type RegistryModule struct {
	Module  string `json:"module"`
	Version string `json:"version"`
}

// ModuleArchive is a version of a module for a runner.
type ModuleArchive struct {
	Folder  string `json:"folder,omitempty" doc:"of the module in the archive; empty for its root"`
	Archive []byte `json:"archive" doc:"a tar, compressed by gzip"`
}
