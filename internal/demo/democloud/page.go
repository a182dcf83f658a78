package democloud

import (
	"bytes"
	_ "embed"
	"html/template"
	"net/http"
	"slices"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
)

//go:embed page.html
var pageSource string

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"ago": func(t time.Time) string { return time.Since(t).Round(time.Second).String() },
}).Parse(pageSource))

type pageTenant struct {
	Name      string
	Resources []Resource
}

// page shows all there is; the browser asks again every two seconds.
func (c *Cloud) page(w http.ResponseWriter, r *http.Request) {
	var data struct {
		URL     string
		Tenants []pageTenant
		Faults  []Fault
		Journal []Entry
	}
	data.URL = c.url
	for _, res := range c.list("", "") {
		if n := len(data.Tenants); n == 0 || data.Tenants[n-1].Name != res.Tenant {
			data.Tenants = append(data.Tenants, pageTenant{Name: res.Tenant})
		}
		last := &data.Tenants[len(data.Tenants)-1]
		last.Resources = append(last.Resources, res)
	}
	data.Faults = c.faults.list()
	c.mu.Lock()
	entries, err := c.journal.entries(c.journal.last.Seq - 20)
	c.mu.Unlock()
	slices.Reverse(entries)
	data.Journal = entries
	var html bytes.Buffer
	if err == nil {
		err = pageTemplate.Execute(&html, data)
	}
	if err != nil {
		respond(w, nil, core.Errorf(core.Internal, "the page can't be shown: %w", err))
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	_, _ = w.Write(html.Bytes()) // the browser is gone then
}
