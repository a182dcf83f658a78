// Package democloud is a small cloud in one process, for the demo and the tests. It
// keeps networks, servers, load balancers, DNS records and databases in a folder, one
// JSON file each, behind an HTTP API on loopback, and it is real enough to look at: a
// server listens on a port of its own and serves the files of its own folder, a load
// balancer proxies to its healthy servers in turn, a DNS record resolves through GET
// /resolve, a database is a folder that is gone when the database is destroyed.
//
// Everything survives a restart on the same folder: addresses included. Every change
// is first appended, synced, to DIR/journal.jsonl, with the run that asked for it, so
// that tests can tell afterwards what was changed how often and by whom. Faults make
// chosen operations fail, hang or be slow.
//
// Tenants keep apart what belongs to different accounts or regions: a resource is
// found only under the tenant that made it. Package provider is the provider for
// OpenTofu and Terraform; WriteMirror lets engines find it without a registry.
// Terrace itself knows nothing of this package outside demo and tests.
package democloud
