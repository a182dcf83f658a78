package config

import (
	"fmt"
	"math"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// verifyBlock is a verify block with what is known of it without outputs.
type verifyBlock struct {
	body   body
	within time.Duration
	known  Verify // without URL, Query and Command
}

// verifyArguments are the arguments of each kind beside within; the first have to be there.
var verifyArguments = map[string]struct{ required, others []string }{
	"http":       {[]string{"url"}, []string{"status"}},
	"command":    {[]string{"command"}, nil},
	"prometheus": {[]string{"url", "query"}, append(slices.Clone(thresholds), "token", "username", "password")},
}

// thresholds are the ways to compare a number.
var thresholds = []string{"below", "above", "equals"}

// longestQuery bounds a query, in bytes: it goes into an address.
const longestQuery = 4000

func (l *load) verifyBlock(kind string, b body) verifyBlock {
	args := verifyArguments[kind]
	for _, name := range args.required {
		if !b.has(name) {
			l.error(b.header, fmt.Sprintf("Missing argument %q", name), fmt.Sprintf("A verify %q block needs %s = …", kind, name))
		}
	}
	for i := range verifySchema.Attrs {
		name := verifySchema.Attrs[i].Name
		if !b.has(name) || name == "within" || slices.Contains(args.required, name) || slices.Contains(args.others, name) {
			continue
		}
		l.error(b.attrs[name].NameRange, fmt.Sprintf("%q does not belong here", name),
			fmt.Sprintf("A verify %q block has %s. Write a second verify block.", kind, listed(slices.Concat(args.required, args.others, []string{"within"}), 12)))
	}
	v := verifyBlock{body: b, within: l.duration(b, "within", 2*time.Minute, l.ctx)}
	v.known = Verify{Kind: kind, Within: v.within}
	switch kind {
	case "http":
		v.known.Status = 200
		if n, ok := l.whole(b, "status", 100, l.ctx); ok && n > 599 {
			l.error(b.rangeOf("status"), "Not an HTTP status", "A status is a number from 100 to 599.")
		} else if ok {
			v.known.Status = n
		}
	case "prometheus":
		l.threshold(&v)
		l.credentials(&v)
	}
	return v
}

// threshold reads what a number is compared with.
func (l *load) threshold(v *verifyBlock) {
	b := v.body
	var given []string
	for _, name := range thresholds {
		if b.has(name) {
			given = append(given, name)
		}
	}
	switch len(given) {
	case 0:
		l.error(b.header, "Nothing to compare with", "A verify \"prometheus\" block needs below, above or equals: the value that the query's numbers have to be below, above, or equal to.")
		return
	case 1:
	default:
		l.error(b.attrs[given[1]].NameRange, "Two things to compare with", fmt.Sprintf("Write %s, and a second verify block for %s.", given[0], given[1]))
		return
	}
	n, ok := l.plain(b, given[0], cty.Number, l.ctx)
	if !ok {
		return
	}
	f, _ := n.AsBigFloat().Float64()
	if math.IsInf(f, 0) {
		l.error(b.rangeOf(given[0]), fmt.Sprintf("%q is out of range", given[0]), "A number is needed that fits 64 bits, as Prometheus has them.")
	}
	v.known.Compare, v.known.Than = given[0], f
}

// credentials reads the names of secrets: a token, or a user with a password.
func (l *load) credentials(v *verifyBlock) {
	b := v.body
	name := func(attr string) string {
		text := l.text(b, attr, "", l.ctx)
		switch {
		case !b.has(attr) || secretRE.MatchString(text) && !reservedRE.MatchString(text):
			return text
		case !secretRE.MatchString(text):
			l.error(b.rangeOf(attr), fmt.Sprintf("Invalid name of a secret %q", text), "Name a secret of the environment here, for example PROMETHEUS_TOKEN. The value is set with terrace secret set and never written here.")
		default:
			l.error(b.rangeOf(attr), fmt.Sprintf("Reserved name of a secret %q", text), secretIsReserved)
		}
		return ""
	}
	v.known.Token, v.known.Password = name("token"), name("password")
	v.known.User = l.text(b, "username", "", l.ctx)
	switch {
	case b.has("token") && (b.has("username") || b.has("password")):
		l.error(b.attrs["token"].NameRange, "Two ways to log in", "Write token, or username and password.")
	case b.has("username") != b.has("password"):
		l.error(b.header, "Half of a login", "username and password belong together.")
	case strings.ContainsRune(v.known.User, ':'):
		l.error(b.rangeOf("username"), "A colon in a username", "Basic authentication cannot send it.")
	}
}

// checkSecrets looks for the secrets that verify blocks name among those that runs get.
func (l *load) checkSecrets(st *stack, e *environment) {
	for _, v := range st.verify {
		for attr, name := range map[string]string{"token": v.known.Token, "password": v.known.Password} {
			if name != "" && !slices.Contains(e.Secrets, name) {
				l.at(instance(st, e), hcl.DiagError, v.body.rangeOf(attr), fmt.Sprintf("Runs in %s do not get the secret %s", e.Name, name),
					"A verify block uses secrets of the environment.", fmt.Sprintf("Add it to secrets in environment %q.", e.Name))
			}
		}
	}
}

func (ev *evaluation) verify(v verifyBlock) Verify {
	out := v.known
	if out.Kind == "command" {
		out.Command = ev.command(v.body)
		return out
	}
	out.URL = ev.url(v.body)
	if out.Kind == "prometheus" {
		if it, ok := ev.text(v.body, "query"); ok {
			if out.Query = it.text; strings.TrimSpace(it.text) == "" || len(it.text) > longestQuery {
				ev.problem(it.rng, "Not a query", fmt.Sprintf("A query has from 1 to %d bytes. A longer one belongs into a recording rule.", longestQuery))
			}
		}
	}
	return out
}

func (ev *evaluation) url(b body) string {
	it, ok := ev.text(b, "url")
	if !ok {
		return ""
	}
	u, err := url.Parse(it.text)
	switch {
	case err != nil || u.Host == "":
		ev.problem(it.rng, fmt.Sprintf("%q is not a URL", it.text), "Write a whole one, for example \"https://example.com/healthz\".")
	case u.Scheme != "http" && u.Scheme != "https":
		ev.problem(it.rng, fmt.Sprintf("%q cannot be asked over HTTP", it.text), "The URL has to start with http:// or https://. For anything else, use verify \"command\".")
	}
	return it.text
}
