package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/terrace-cd/terrace/internal/wire"
)

// maxAnswer bounds what a query gives, in bytes; one that gives more is no check.
const maxAnswer = 1 << 20

// askPrometheus asks a query until all its numbers are right, or the time is up. Only a
// number on the wrong side says something about the stack: no number, one that is none,
// and whatever keeps Prometheus from answering are inconclusive.
// https://prometheus.io/docs/prometheus/latest/querying/api/#instant-queries
func askPrometheus(ctx context.Context, v wire.Verify, within time.Duration, secrets map[string]string) wire.Probe {
	name := excerpt([]byte(strings.Join(strings.Fields(v.Query), " ")))
	address, err := queryURL(v)
	if err != nil {
		return wire.Probe{Name: name, Verdict: Inconclusive, Message: err.Error()}
	}
	for _, secret := range []string{v.Token, v.Password} {
		if secret != "" && secrets[secret] == "" {
			return wire.Probe{Name: name, Verdict: Inconclusive, Message: fmt.Sprintf("the secret %s, which it logs in with, is not among those of the environment", secret)}
		}
	}
	transport := &http.Transport{TLSHandshakeTimeout: tryTimeout, MaxResponseHeaderBytes: 1 << 20}
	defer transport.CloseIdleConnections()
	q := query{
		Verify: v, address: address, token: secrets[v.Token], password: secrets[v.Password],
		// The credentials are for this address alone.
		client: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}
	return askUntil(ctx, name, within, q.ask)
}

// queryURL is the address of an instant query.
func queryURL(v wire.Verify) (string, error) {
	u, err := url.Parse(v.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", errors.New("the url is not an http or https address")
	}
	u = u.JoinPath("api/v1/query")
	values := u.Query()
	values.Set("query", v.Query)
	values.Set("timeout", tryTimeout.String())
	u.RawQuery = values.Encode()
	return u.String(), nil
}

// query is an instant query that can be asked.
type query struct {
	wire.Verify
	client          *http.Client
	address         string
	token, password string
}

func (q query) ask(ctx context.Context) answer {
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, q.address, nil)
	if err != nil {
		return answer{message: "the url cannot be asked: " + cause(err)}
	}
	req.Header.Set("User-Agent", "terrace-verify")
	switch {
	case q.token != "":
		req.Header.Set("Authorization", "Bearer "+q.token)
	case q.password != "":
		req.SetBasicAuth(q.User, q.password)
	}
	resp, err := q.client.Do(req)
	if err != nil {
		return answer{message: "Prometheus does not answer: " + silence(err).message}
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return answer{message: "the answer of Prometheus broke off: " + cause(err)}
	case len(body) > maxAnswer:
		return answer{message: fmt.Sprintf("the query gives more than %d bytes; aggregate in it, for example with sum or max", maxAnswer)}
	}
	var r result
	malformed := json.Unmarshal(body, &r) != nil
	switch {
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		return answer{message: fmt.Sprintf("answered %d; it redirects to %q, which is not followed", resp.StatusCode, excerpt([]byte(resp.Header.Get("Location"))))}
	case resp.StatusCode != http.StatusOK && !malformed && r.Error != "":
		return answer{message: fmt.Sprintf("answered %d: %s", resp.StatusCode, excerpt([]byte(r.Error)))}
	case resp.StatusCode != http.StatusOK:
		return answer{message: strings.TrimSuffix(fmt.Sprintf("answered %d: %s", resp.StatusCode, excerpt(body)), ": ")}
	case malformed || r.Status != "success":
		return answer{message: "this is no answer of a Prometheus: " + excerpt(body)}
	}
	return q.weigh(r)
}

// weigh compares what was answered.
func (q query) weigh(r result) answer {
	if warning := r.warning(); warning != "" {
		return answer{message: "Prometheus warns that its answer may be wrong: " + excerpt([]byte(warning))}
	}
	numbers, problem := r.samples()
	if problem != "" {
		return answer{message: problem}
	}
	var wrong, none []sample
	for _, s := range numbers {
		f, err := strconv.ParseFloat(s.text, 64)
		switch {
		case err != nil || math.IsNaN(f):
			none = append(none, s)
		case !q.right(f):
			wrong = append(wrong, s)
		}
	}
	switch {
	case len(wrong) > 0:
		return answer{definite: true, message: fmt.Sprintf("%s, which is not %s%s", wrong[0], q.threshold(), others(len(wrong)-1, len(numbers)))}
	case len(none) > 0:
		return answer{message: fmt.Sprintf("%s, which is no number%s", none[0], others(len(none)-1, len(numbers)))}
	case len(numbers) == 0:
		return answer{message: "the query gives no number: there is no data"}
	case len(numbers) > 1:
		return answer{pass: true, definite: true, message: fmt.Sprintf("all %d numbers are %s", len(numbers), q.threshold())}
	}
	return answer{pass: true, definite: true, message: fmt.Sprintf("%s, which is %s", numbers[0], q.threshold())}
}

// right reports whether a number is on the right side. A comparison that this version
// does not know has none.
func (q query) right(f float64) bool {
	switch q.Compare {
	case "below":
		return f < q.Than
	case "above":
		return f > q.Than
	case "equals":
		return f == q.Than
	}
	return false
}

func (q query) threshold() string {
	than := strconv.FormatFloat(q.Than, 'g', -1, 64)
	if q.Compare == "equals" {
		return than
	}
	return q.Compare + " " + than
}

// result is the envelope of Prometheus' answers.
type result struct {
	Status   string   `json:"status"`
	Error    string   `json:"error"`
	Warnings []string `json:"warnings"`
	Data     struct {
		Type   string          `json:"resultType"`
		Result json.RawMessage `json:"result"`
	} `json:"data"`
}

// warning is the first that says something about the numbers, which may be of a part of
// the data only. Some versions also write here what is about the query's style.
func (r result) warning() string {
	for _, w := range r.Warnings {
		if !strings.HasPrefix(w, "PromQL info:") {
			return w
		}
	}
	return ""
}

// sample is one number, with what tells it from others; text is "" for a histogram.
type sample struct {
	labels map[string]string
	text   string
}

// samples reads the numbers out of an answer. problem says why there can be none.
func (r result) samples() (all []sample, problem string) {
	malformed := "this is no answer of a Prometheus: " + excerpt(r.Data.Result)
	switch r.Data.Type {
	case "scalar":
		var value [2]any
		if err := json.Unmarshal(r.Data.Result, &value); err != nil {
			return nil, malformed
		}
		text, _ := value[1].(string)
		return []sample{{text: text}}, ""
	case "vector":
		var list []struct {
			Metric map[string]string `json:"metric"`
			Value  [2]any            `json:"value"` // missing in a histogram
		}
		if err := json.Unmarshal(r.Data.Result, &list); err != nil {
			return nil, malformed
		}
		for _, e := range list {
			text, _ := e.Value[1].(string)
			all = append(all, sample{e.Metric, text})
		}
		return all, ""
	case "matrix":
		return nil, "the query gives a range of numbers; ask for one moment, for example with avg_over_time"
	}
	return nil, fmt.Sprintf("the query gives %q, and no number", excerpt([]byte(r.Data.Type)))
}

// String writes a number as people read it.
func (s sample) String() string {
	text := s.text
	if text == "" {
		text = "a histogram"
	}
	if len(s.labels) == 0 {
		return "it is " + excerpt([]byte(text))
	}
	var labels []string
	for _, name := range slices.Sorted(maps.Keys(s.labels)) {
		labels = append(labels, fmt.Sprintf("%s=%q", name, s.labels[name]))
	}
	return fmt.Sprintf("%s is %s", excerpt([]byte("{"+strings.Join(labels, ", ")+"}")), excerpt([]byte(text)))
}

func others(more, all int) string {
	if more == 0 {
		return ""
	}
	return fmt.Sprintf(", and so are %d more of %d", more, all)
}
