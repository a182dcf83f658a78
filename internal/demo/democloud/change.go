package democloud

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
)

// create makes a resource. It is ready at once when the latency is 0.
func (c *Cloud) create(by Caller, tenant string, t Type, name string, spec Spec, latency time.Duration) (Resource, error) {
	spec = spec.withDefaults(t)
	if err := errors.Join(checkNames(tenant, name, t), spec.check(t)); err != nil {
		return Resource{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now().UTC()
	r := Resource{
		ID: newID(t), Type: t, Tenant: tenant, Name: name, Spec: spec,
		State: Creating, ReadyAt: now.Add(latency), Created: now, Updated: now,
	}
	if err := errors.Join(c.checkReferences(r), c.checkUnique(r)); err != nil {
		return Resource{}, err
	}
	if err := c.format(r); err != nil {
		return Resource{}, broke(err)
	}
	it := newItem(r)
	if err := c.commit(by, Create, it, r); err != nil {
		return Resource{}, errors.Join(err, c.folder.erase(r))
	}
	if latency > 0 {
		c.finishLater(it)
	} else if err := c.finish(it); err != nil {
		return Resource{}, err
	}
	return c.view(it.Resource), nil
}

// update changes a resource in place. Invalid for what can't be.
func (c *Cloud) update(by Caller, tenant string, t Type, id, name string, spec Spec) (Resource, error) {
	spec = spec.withDefaults(t)
	if err := errors.Join(checkNames(tenant, name, t), spec.check(t)); err != nil {
		return Resource{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	it, err := c.find(tenant, t, id)
	if err != nil {
		return Resource{}, err
	}
	field := spec.fixedChange(it.Spec)
	if field == "" && name != it.Name && (t == DNSRecord || t == Database) {
		field = "name"
	}
	if field != "" {
		return Resource{}, core.Errorf(core.Invalid, "the %s of %s %s can't be changed: replace it", field, t, id)
	}
	r := it.Resource
	r.Name, r.Spec, r.Updated = name, spec, time.Now().UTC()
	if err := c.checkReferences(r); err != nil {
		return Resource{}, err
	}
	if err := c.commit(by, Update, it, r); err != nil {
		return Resource{}, err
	}
	if it.machine != nil {
		it.machine.rename(it.Resource)
	}
	if it.balancer != nil {
		it.balancer.setHealthPath(r.Spec.HealthPath)
	}
	c.point()
	return c.view(it.Resource), nil
}

// remove destroys a resource and its data.
func (c *Cloud) remove(by Caller, tenant string, t Type, id string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	it, err := c.find(tenant, t, id)
	if err != nil {
		return err
	}
	if t == Network {
		for _, other := range c.items {
			if other.Spec.NetworkID == id {
				return core.Errorf(core.Conflict, "network %s is in use by %s %s: destroy that first", id, other.Type, other.ID)
			}
		}
	}
	if t == Image {
		for _, other := range c.items {
			if other.Type == Server && other.Spec.Image == id {
				return core.Errorf(core.Conflict, "image %s is in use by server %s: destroy that first", id, other.ID)
			}
		}
	}
	if err := c.commit(by, Delete, it, it.Resource); err != nil {
		return err
	}
	c.unpower(it)
	if it.State == Creating {
		close(it.ready)
	}
	c.point()
	if err := c.folder.erase(it.Resource); err != nil {
		return broke(err)
	}
	return nil
}

// setPower switches a server off (Stop) or on again (Start), as a crash and a repair of
// the machine would. Doing it twice changes nothing.
func (c *Cloud) setPower(by Caller, tenant, id string, op Operation) (Resource, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	it, err := c.find(tenant, Server, id)
	if err != nil {
		return Resource{}, err
	}
	if it.State == Creating {
		return Resource{}, core.Errorf(core.Conflict, "server %s is still being created", id)
	}
	r := it.Resource
	r.State, r.Updated = Ready, time.Now().UTC()
	if op == Stop {
		r.State = Stopped
	}
	if r.State == it.State {
		return c.view(r), nil
	}
	if err := c.commit(by, op, it, r); err != nil {
		return Resource{}, err
	}
	if op == Stop {
		c.unpower(it)
	} else if err := c.power(it); err != nil {
		return Resource{}, err
	}
	c.point()
	return c.view(it.Resource), nil
}

// commit makes a change durable: in the journal, then in the resource's file. Called
// with the mutex held.
func (c *Cloud) commit(by Caller, op Operation, it *item, r Resource) error {
	if c.broken != nil {
		return core.Errorf(core.Unavailable, "democloud has to be started again, an earlier change was half written: %w", c.broken)
	}
	r.Seq = c.journal.last.Seq + 1
	if err := c.journal.append(Entry{Seq: r.Seq, At: time.Now().UTC(), Operation: op, Caller: by, Resource: r}); err != nil {
		return broke(err)
	}
	var err error
	if op == Delete {
		err = c.folder.remove(r)
	} else {
		err = c.folder.put(r)
	}
	if err != nil {
		c.broken = err
		return broke(err)
	}
	it.Resource = r
	c.items[r.ID] = it
	if op == Delete {
		delete(c.items, r.ID)
	}
	return nil
}

func broke(err error) error {
	return core.Errorf(core.Unavailable, "democloud cannot write to its folder: %w", err)
}

// finishLater makes a resource ready when its time has come.
func (c *Cloud) finishLater(it *item) {
	wait := time.Until(it.ReadyAt)
	c.running.Go(func() {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-it.ready: // destroyed before it was ready
			return
		case <-c.ctx.Done():
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.items[it.ID] == it {
			_ = c.finish(it) // it stays in creating, which is what its maker then sees
		}
	})
}

// finish makes a resource ready. Called with the mutex held.
func (c *Cloud) finish(it *item) error {
	it.State = Ready
	if err := c.power(it); err != nil {
		it.State = Creating
		return err
	}
	if err := c.folder.put(it.Resource); err != nil {
		it.State = Creating
		return broke(err)
	}
	close(it.ready)
	c.point()
	return nil
}

// power starts what a resource runs, at the address it had before if it can be. Called
// with the mutex held.
func (c *Cloud) power(it *item) error {
	ln, err := c.listenFor(it.Resource)
	if ln == nil || err != nil {
		return err
	}
	if addr := ln.Addr().String(); addr != it.Address {
		it.Address = addr
		if err := c.folder.put(it.Resource); err != nil {
			return errors.Join(broke(err), ln.Close())
		}
	}
	if it.Type == LoadBalancer {
		it.balancer = newBalancer(ln, it.Spec.HealthPath, c.opts.HealthEvery)
		return nil
	}
	it.machine, err = newMachine(ln, c.folder.disk(it.Resource), it.Resource)
	if err != nil {
		return errors.Join(broke(err), ln.Close())
	}
	return nil
}

// unpower stops what a resource runs. Called with the mutex held.
func (c *Cloud) unpower(it *item) {
	if it.machine != nil {
		it.machine.close()
	}
	if it.balancer != nil {
		it.balancer.close()
	}
	it.machine, it.balancer = nil, nil
}

// point tells every load balancer where its servers are now. Called with the mutex held.
func (c *Cloud) point() {
	for _, it := range c.items {
		if it.balancer == nil {
			continue
		}
		var backends []string
		for _, id := range it.Spec.Servers {
			if server := c.items[id]; server != nil && server.machine != nil {
				backends = append(backends, server.Address)
			}
		}
		it.balancer.setBackends(backends)
	}
}

// find returns NotFound for what is another tenant's, too.
func (c *Cloud) find(tenant string, t Type, id string) (*item, error) {
	it := c.items[id]
	if it == nil || it.Tenant != tenant || it.Type != t {
		return nil, core.Errorf(core.NotFound, "there is no %s %q in tenant %s", t, id, tenant)
	}
	return it, nil
}

func (c *Cloud) checkReferences(r Resource) error {
	if id := r.Spec.NetworkID; id != "" {
		if _, err := c.find(r.Tenant, Network, id); err != nil {
			return core.Errorf(core.Invalid, "network_id: %w", err)
		}
	}
	if id := r.Spec.Image; strings.HasPrefix(id, idPrefix[Image]+"-") {
		if it := c.items[id]; it == nil || it.Type != Image {
			return core.Errorf(core.Invalid, "image: there is no image %s", id)
		}
	}
	for _, id := range r.Spec.Servers {
		if _, err := c.find(r.Tenant, Server, id); err != nil {
			return core.Errorf(core.Invalid, "servers: %w", err)
		}
	}
	return nil
}

// checkUnique keeps apart what people address by its name. Servers and networks are
// addressed by id: a replacement may exist before the old one is gone.
func (c *Cloud) checkUnique(r Resource) error {
	if r.Type != DNSRecord && r.Type != Database {
		return nil
	}
	for _, it := range c.items {
		if it.Type == r.Type && it.Tenant == r.Tenant && it.Name == r.Name && it.Spec.RecordType == r.Spec.RecordType {
			return core.Errorf(core.Conflict, "tenant %s has a %s %q already: %s", r.Tenant, r.Type, r.Name, it.ID)
		}
	}
	return nil
}

// get returns a resource, waiting until it is no longer being created when wait is true.
func (c *Cloud) get(ctx context.Context, tenant string, t Type, id string, wait bool) (Resource, error) {
	c.mu.Lock()
	it, err := c.find(tenant, t, id)
	c.mu.Unlock()
	if err != nil {
		return Resource{}, err
	}
	if wait {
		select {
		case <-it.ready:
		case <-ctx.Done():
			return Resource{}, ctx.Err()
		case <-c.ctx.Done():
			return Resource{}, core.Errorf(core.Unavailable, "democloud is going down")
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if it, err = c.find(tenant, t, id); err != nil {
		return Resource{}, err
	}
	return c.view(it.Resource), nil
}

// list returns resources by tenant, type and age; empty arguments select all.
func (c *Cloud) list(tenant string, t Type) []Resource {
	c.mu.Lock()
	defer c.mu.Unlock()
	found := []Resource{}
	for _, it := range c.items {
		if (tenant == "" || it.Tenant == tenant) && (t == "" || it.Type == t) {
			found = append(found, c.view(it.Resource))
		}
	}
	slices.SortFunc(found, func(a, b Resource) int {
		if by := strings.Compare(a.Tenant, b.Tenant); by != 0 {
			return by
		}
		if by := slices.Index(Types, a.Type) - slices.Index(Types, b.Type); by != 0 {
			return by
		}
		if by := a.Created.Compare(b.Created); by != 0 {
			return by
		}
		return strings.Compare(a.ID, b.ID)
	})
	return found
}
