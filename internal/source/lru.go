package source

import (
	"container/list"
	"sync"
)

// lru keeps values up to a total weight in bytes, and always the newest one.
type lru[V any] struct {
	mu     sync.Mutex
	max    int
	weight int
	order  list.List // of *lruEntry[V], newest first
	items  map[string]*list.Element
}

type lruEntry[V any] struct {
	key    string
	value  V
	weight int
}

func newLRU[V any](max int) *lru[V] { return &lru[V]{max: max, items: map[string]*list.Element{}} }

func (l *lru[V]) get(key string) (v V, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, ok := l.items[key]
	if !ok {
		return v, false
	}
	l.order.MoveToFront(e)
	return e.Value.(*lruEntry[V]).value, true
}

func (l *lru[V]) put(key string, v V, weight int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e, ok := l.items[key]; ok {
		l.drop(e)
	}
	l.items[key] = l.order.PushFront(&lruEntry[V]{key, v, weight})
	l.weight += weight
	for l.weight > l.max && l.order.Len() > 1 {
		l.drop(l.order.Back())
	}
}

func (l *lru[V]) drop(e *list.Element) {
	entry := l.order.Remove(e).(*lruEntry[V])
	l.weight -= entry.weight
	delete(l.items, entry.key)
}

func (l *lru[V]) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.order.Init()
	clear(l.items)
	l.weight = 0
}
