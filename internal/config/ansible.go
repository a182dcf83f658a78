package config

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

var (
	groupRE = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	hostRE  = regexp.MustCompile(`^[A-Za-z0-9_\[:][A-Za-z0-9_.:%\[\]-]*$`)
	userRE  = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.@+$-]*$`)
)

// ansible evaluates an ansible block, with the resources that the instance has.
func (ev *evaluation) ansible(a *ansibleBlock, p *place, resources []Resource) *Ansible {
	out := &Ansible{Playbook: p.instance.Playbook, Variables: map[string]json.RawMessage{}, Secrets: a.secrets, Check: a.check, Within: a.within,
		Mitogen: a.mitogen, Together: a.together, Selects: a.selects(), Twice: ev.flag(a.body, "twice")}
	in := newInventory(ev, a)
	in.argument()
	for _, b := range a.blocks {
		in.block(b, resources)
	}
	out.Inventory = in.all()
	variables, _ := ev.object(a.body, "variables")
	for _, name := range sortedKeys(variables) {
		v, _ := variables[name].UnmarkDeep()
		if !groupRE.MatchString(name) {
			ev.problem(attribute(a.body.expr("variables"), name).Range(), fmt.Sprintf("%q cannot name an Ansible variable", name), "Use letters, digits and _, not starting with a digit.")
			continue
		}
		if !v.IsWhollyKnown() {
			in.unknown[name] = true
			continue
		}
		out.Variables[name] = jsonOf(v)
	}
	out.Bastion = in.bastion(a.body)
	out.New, out.UnknownVariables = sortedKeys(in.fresh), sortedKeys(in.unknown)
	return out
}

// jsonOf is a value as JSON, nil while it is not known.
func jsonOf(v cty.Value) json.RawMessage {
	b, err := marshal(v)
	if err != nil { // also capsules, which no expression can make
		return nil
	}
	return b
}

// flag evaluates a boolean, false when it is not written.
func (ev *evaluation) flag(b body, name string) bool {
	v, ok := ev.converted(b, name, cty.Bool)
	return ok && v.True()
}

// maybe is converted for what may be null or not known yet. ok is false when it is not
// written or wrong.
func (ev *evaluation) maybe(b body, name string, want cty.Type) (cty.Value, bool) {
	v, ok := ev.value(b, name)
	if !ok {
		return cty.NilVal, false
	}
	v, _ = v.UnmarkDeep()
	got, err := convert.Convert(v, want)
	if err != nil {
		ev.problem(b.rangeOf(name), fmt.Sprintf("%q has the wrong type", name), fmt.Sprintf("%s is needed. This is %s.", b.schema.attr(name).kind(), friendlyType(v.Type())))
		return cty.NilVal, false
	}
	return got, true
}

// bastion reads the host that connections go through, nil for none.
func (in *inventory) bastion(b body) *Bastion {
	v, ok := in.value(b, "bastion")
	if !ok {
		return nil
	}
	v, _ = v.UnmarkDeep()
	switch t := v.Type(); {
	case !v.IsWhollyKnown():
		in.unknown["bastion"] = true
		return nil
	case v.IsNull():
		return nil
	case t == cty.String:
		return in.bastionAt(v.AsString(), b.rangeOf("bastion"))
	case t.IsObjectType() || t.IsMapType():
		return in.bastionOf(v.AsValueMap(), b.rangeOf("bastion"))
	}
	in.problem(b.rangeOf("bastion"), "\"bastion\" has the wrong type", fmt.Sprintf("It is \"[user@]host[:port]\", or an object with host, port, user and host_keys. This is %s.", friendlyType(v.Type())))
	return nil
}

// bastionAt reads [user@]host[:port]. An IPv6 address with a port is in brackets.
func (in *inventory) bastionAt(text string, rng hcl.Range) *Bastion {
	out := &Bastion{Host: text}
	if i := strings.LastIndexByte(text, '@'); i >= 0 {
		out.User, out.Host = text[:i], text[i+1:]
		if out.User == "" {
			in.noBastion(rng)
			return nil
		}
	}
	if host, port, ok := strings.Cut(out.Host, "]:"); ok && strings.HasPrefix(host, "[") {
		return in.soundBastion(out, host+"]", port, rng)
	}
	if host, port, ok := strings.Cut(out.Host, ":"); ok && !strings.Contains(port, ":") {
		return in.soundBastion(out, host, port, rng)
	}
	return in.soundBastion(out, out.Host, "22", rng)
}

func (in *inventory) bastionOf(attrs map[string]cty.Value, rng hcl.Range) *Bastion {
	out, port := &Bastion{}, "22"
	for _, name := range sortedKeys(attrs) {
		v := attrs[name]
		if v.IsNull() {
			continue
		}
		if name == "host_keys" {
			out.Keys, _ = in.hostKeys(v, "the bastion", rng)
			continue
		}
		text, err := convert.Convert(v, cty.String)
		if err != nil {
			in.noBastion(rng)
			return nil
		}
		switch name {
		case "host":
			out.Host = text.AsString()
		case "port":
			port = text.AsString()
		case "user":
			out.User = text.AsString()
		default:
			known := []string{"host", "port", "user", "host_keys"}
			in.problem(rng, fmt.Sprintf("Unknown attribute %q of a bastion", name), fmt.Sprintf("It has %s.%s", listed(known, 9), didYouMean(name, known)))
			return nil
		}
	}
	return in.soundBastion(out, out.Host, port, rng)
}

func (in *inventory) soundBastion(b *Bastion, host, port string, rng hcl.Range) *Bastion {
	b.Host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	n, err := strconv.ParseUint(port, 10, 16)
	if !hostRE.MatchString(b.Host) || b.User != "" && !userRE.MatchString(b.User) || err != nil || n == 0 {
		in.noBastion(rng)
		return nil
	}
	if n != 22 {
		b.Port = int(n)
	}
	return b
}

func (in *inventory) noBastion(rng hcl.Range) {
	in.problem(rng, "This cannot be a bastion", "It is \"[user@]host[:port]\", for example \"jump@bastion.example.com\", or an object with host, port (from 1 to 65535), user and host_keys; null for none.")
}

// keyTypes are the types of SSH host keys.
var keyTypes = []string{"ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"}

// hostKeys reads SSH host keys: a list, or a text with one in each line. whose names the host.
func (in *inventory) hostKeys(v cty.Value, whose string, rng hcl.Range) (out []string, ok bool) {
	var lines []string
	if list, err := convert.Convert(v, cty.List(cty.String)); err == nil {
		for _, e := range list.AsValueSlice() {
			if !e.IsNull() {
				lines = append(lines, strings.Split(e.AsString(), "\n")...)
			}
		}
	} else if text, err := convert.Convert(v, cty.String); err == nil {
		lines = strings.Split(text.AsString(), "\n")
	} else {
		in.problem(rng, fmt.Sprintf("host_keys of %s has the wrong type", whose), fmt.Sprintf("It is a list of keys, or a text with a key in each line. This is %s.", friendlyType(v.Type())))
		return nil, false
	}
	for _, line := range lines {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 0 || strings.HasPrefix(fields[0], "#"):
		case len(fields) >= 2 && slices.Contains(keyTypes, fields[0]) && isKey(fields[0], fields[1]):
			if k := fields[0] + " " + fields[1]; !slices.Contains(out, k) {
				out = append(out, k)
			}
		default:
			// Without the text: it may be the private one.
			in.problem(rng, fmt.Sprintf("host_keys of %s has something that is no public host key", whose), "A key is its type and itself, as in /etc/ssh/ssh_host_ed25519_key.pub: \"ssh-ed25519 AAAA…\".")
			return nil, false
		}
	}
	slices.Sort(out)
	return out, true
}
