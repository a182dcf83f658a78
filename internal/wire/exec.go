package wire

// Exec is the document that a runner reads from its standard input when it starts. It
// holds a secret, which is why it is neither in arguments nor in the environment.
type Exec struct {
	Server string `json:"server"`
	Run    string `json:"run"`
	Token  string `json:"token"`
	// PIDStart is the start time of the runner's own process, as its executor read it.
	PIDStart string `json:"pid_start"`
	// Dir is a directory for this attempt alone.
	Dir string `json:"dir"`
	// Work is what runs of this machine keep: work trees, providers, host keys.
	Work string `json:"work"`
	// Cache holds engines that were installed; it may be shared with the user's own.
	Cache string `json:"cache,omitempty"`
	// ProviderMirrors are folders in the layout of a filesystem mirror, in order.
	ProviderMirrors []string `json:"provider_mirrors,omitempty"`
	// KeepTrees and KeepBytes bound the kept work trees; 0 is the default.
	KeepTrees int   `json:"keep_trees,omitempty"`
	KeepBytes int64 `json:"keep_bytes,omitempty"`
	// Cgroup is the control group that the runner is alone in, "" for none.
	Cgroup string `json:"cgroup,omitempty"`
}

// What the environment of an engine tells `terrace provision`.
const (
	GateURL   = "TERRACE_RUN_URL"
	GateToken = "TERRACE_RUN_TOKEN"
)
