package playbook

import (
	"path"
	"strings"

	"go.yaml.in/yaml/v3"
)

const (
	groupVars = "group_vars"
	hostVars  = "host_vars"
	// maxFile bounds what is looked through.
	maxFile = 1 << 20
	// maxDepth bounds how deeply playbooks import others, and YAML is nested.
	maxDepth = 64
)

// reader looks through one folder.
type reader struct {
	Folder
	dir    string
	byPath map[string]File
	roles  map[string]*role
	rest   []File
	sums   map[string][]File // of group_vars and host_vars, by folder and name
	plays  []Play
	// everywhere are roles that a file names which may belong to any play.
	everywhere map[string]bool
	parsed     map[string]bool // playbooks
}

type role struct {
	files []File
	uses  map[string]bool
}

// read returns false when what a host needs cannot be told apart.
func (r *reader) read() bool {
	r.everywhere, r.parsed = map[string]bool{}, map[string]bool{}
	for _, f := range r.Files {
		if f.Link {
			return false
		}
		r.byPath[f.Path] = f
		r.sort(f)
	}
	if !r.playbook(path.Clean(r.Playbook), 0) {
		return false
	}
	for _, f := range r.rest {
		if !r.named(f, r.everywhere) {
			return false
		}
	}
	for _, one := range r.roles {
		for _, f := range one.files {
			if !r.named(f, one.uses) {
				return false
			}
		}
	}
	for i := range r.plays {
		for name := range r.everywhere {
			r.plays[i].Roles = append(r.plays[i].Roles, name)
		}
	}
	return true
}

// sort puts a file where it belongs.
func (r *reader) sort(f File) {
	rel := f.Path
	if r.dir != "." {
		rel = strings.TrimPrefix(f.Path, r.dir+"/")
	}
	kind, rest, ok := strings.Cut(rel, "/")
	if !ok {
		r.rest = append(r.rest, f)
		return
	}
	name, inner, folder := strings.Cut(rest, "/")
	switch {
	case kind == "roles" && folder:
		if shared(inner) {
			r.rest = append(r.rest, f)
			return
		}
		one := r.roles[name]
		if one == nil {
			one = &role{uses: map[string]bool{}}
			r.roles[name] = one
		}
		one.files = append(one.files, f)
	case kind == groupVars || kind == hostVars:
		if !folder {
			name = strings.TrimSuffix(name, path.Ext(name))
		}
		if name == "all" || name == "ungrouped" {
			r.rest = append(r.rest, f)
			return
		}
		r.sums[kind+"/"+name] = append(r.sums[kind+"/"+name], f)
	default:
		r.rest = append(r.rest, f)
	}
}

// shared reports whether a file of a role serves every play once the role was loaded.
func shared(inner string) bool {
	dir, _, folder := strings.Cut(inner, "/")
	return folder && (dir == "library" || dir == "module_utils" || strings.HasSuffix(dir, "_plugins"))
}

// closure are a role and all that it uses.
func (r *reader) closure(name string) map[string]bool {
	seen := map[string]bool{}
	var walk func(string)
	walk = func(name string) {
		if one := r.roles[name]; one != nil && !seen[name] {
			seen[name] = true
			for used := range one.uses {
				walk(used)
			}
		}
	}
	walk(name)
	return seen
}

// playbook reads the plays of a file, and of those that it imports.
func (r *reader) playbook(name string, depth int) bool {
	if depth > maxDepth {
		return false
	}
	if r.parsed[name] {
		return true // its plays are known; that they run twice changes nothing
	}
	r.parsed[name] = true
	items, ok := r.yaml(name).([]any)
	if !ok {
		return false
	}
	for _, item := range items {
		play, ok := item.(map[string]any)
		if !ok {
			return false
		}
		imported, is := first(play, "import_playbook", "ansible.builtin.import_playbook")
		if is {
			file, ok := imported.(string)
			if !ok || templated(file) || path.IsAbs(file) || !r.playbook(path.Join(path.Dir(name), file), depth+1) {
				return false
			}
			continue
		}
		if !r.play(play) {
			return false
		}
	}
	return true
}

func (r *reader) play(play map[string]any) bool {
	hosts, ok := pattern(play["hosts"])
	if !ok {
		return false
	}
	uses := map[string]bool{}
	if !dependencies(play["roles"], uses) {
		return false
	}
	for _, section := range []string{"pre_tasks", "tasks", "post_tasks", "handlers"} {
		if !includes(play[section], uses, 0) {
			return false
		}
	}
	p := Play{Hosts: hosts}
	for name := range uses {
		p.Roles = append(p.Roles, name)
	}
	r.plays = append(r.plays, p)
	return true
}

// pattern is what a play says of its hosts; a list is one pattern with commas.
func pattern(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case []any:
		var all []string
		for _, item := range v {
			text, ok := item.(string)
			if !ok {
				return "", false
			}
			all = append(all, text)
		}
		return strings.Join(all, ","), true
	}
	return "", false
}

// named collects the roles that a file names. It is false for one that may lead into
// another role by a path.
func (r *reader) named(f File, uses map[string]bool) bool {
	text := isYAML(f.Path)
	if !text && !strings.HasSuffix(f.Path, ".j2") || r.parsed[f.Path] {
		return true
	}
	content, err := r.Read(f.Path)
	if err != nil || len(content) > maxFile {
		return false
	}
	if strings.Contains(string(content), "../") || strings.Contains(string(content), "roles/") {
		return false
	}
	if !text {
		return true
	}
	var documents any
	if yaml.Unmarshal(content, &documents) != nil {
		return false
	}
	if path.Base(path.Dir(f.Path)) == "meta" {
		if meta, ok := documents.(map[string]any); ok && !dependencies(meta["dependencies"], uses) {
			return false
		}
	}
	return includes(documents, uses, 0)
}

func (r *reader) yaml(name string) any {
	if _, ok := r.byPath[name]; !ok {
		return nil
	}
	content, err := r.Read(name)
	if err != nil || len(content) > maxFile || strings.Contains(string(content), "../") {
		return nil
	}
	var out any
	if yaml.Unmarshal(content, &out) != nil {
		return nil
	}
	return out
}

func isYAML(name string) bool {
	return strings.HasSuffix(name, ".yml") || strings.HasSuffix(name, ".yaml")
}

// dependencies reads a list of roles: names, or objects with role or name. false for one
// that cannot be told before it runs.
func dependencies(v any, into map[string]bool) bool {
	if v == nil {
		return true
	}
	list, ok := v.([]any)
	if !ok {
		return false
	}
	for _, item := range list {
		name, ok := item.(string)
		if object, is := item.(map[string]any); is {
			given, _ := first(object, "role", "name", "src")
			name, ok = given.(string)
		}
		if !ok || templated(name) || strings.Contains(name, "/") {
			return false
		}
		into[name] = true
	}
	return true
}

// includes walks tasks, blocks and whatever is inside of them, and collects the roles that
// are included by name.
func includes(v any, into map[string]bool, depth int) bool {
	if depth > maxDepth {
		return false
	}
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			if !includes(item, into, depth+1) {
				return false
			}
		}
	case map[string]any:
		for key, value := range v {
			if short := strings.TrimPrefix(strings.TrimPrefix(key, "ansible.builtin."), "ansible.legacy."); short == "include_role" || short == "import_role" {
				if !included(value, into) {
					return false
				}
			} else if key == "action" || key == "local_action" {
				// The old way to write a task, whose arguments are a text of their own.
				if text, ok := value.(string); !ok || strings.Contains(text, "_role") {
					return false
				}
			} else if !includes(value, into, depth+1) {
				return false
			}
		}
	case map[any]any: // variables with numbers as keys
		for _, value := range v {
			if !includes(value, into, depth+1) {
				return false
			}
		}
	}
	return true
}

func included(v any, into map[string]bool) bool {
	object, ok := v.(map[string]any)
	if !ok {
		return false // name=… as a text
	}
	name, ok := object["name"].(string)
	if !ok || templated(name) || strings.Contains(name, "/") {
		return false
	}
	into[name] = true
	return true
}

func first(object map[string]any, keys ...string) (any, bool) {
	for _, key := range keys {
		if v, ok := object[key]; ok {
			return v, true
		}
	}
	return nil, false
}

func templated(s string) bool { return strings.Contains(s, "{{") || strings.Contains(s, "{%") }
