package faults

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"sync"
)

// The whole suite takes long. With -keep, what went well is written to a file, and is not done
// again by whoever goes on with the same program under test.

// piece is a row on a database, or one world of the random kills.
type piece struct {
	Program string `json:"program"` // SHA-256
	Seed    uint64 `json:"seed"`
	Row     int    `json:"row"`
	Engine  string `json:"engine"`
	Part    string `json:"part,omitempty"`
	Times   int    `json:"times"` // how thorough it was
	Runs    int    `json:"runs"`
}

// keeper is the file, and what is in it of this program.
type keeper struct {
	mu      sync.Mutex
	file    string
	program string
	done    []piece
}

var earlier keeper

// open reads what is there. It adopts the seed of an earlier start.
func (k *keeper) open(file, program string) error {
	f, err := os.Open(program)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // only read
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return err
	}
	k.file, k.program = file, hex.EncodeToString(sum.Sum(nil))
	old, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	defer func() { _ = old.Close() }() // only read
	for lines := bufio.NewScanner(old); lines.Scan(); {
		var p piece
		if json.Unmarshal(lines.Bytes(), &p) == nil && p.Program == k.program { // a line may be half written
			k.done = append(k.done, p)
			*seed = p.Seed
		}
	}
	progress("%d pieces of this program are done already, with seed %d: %s", len(k.done), *seed, file)
	return nil
}

// has returns how many runs a piece had that went well before.
func (k *keeper) has(row int, engine, part string) (runs int, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, p := range k.done {
		if p.Row == row && p.Engine == engine && p.Part == part && p.Seed == *seed && p.Times >= *times {
			return p.Runs, true
		}
	}
	return 0, false
}

// add keeps a piece that went well.
func (k *keeper) add(row int, engine, part string, runs int) error {
	if k.file == "" {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	line, err := json.Marshal(piece{k.program, *seed, row, engine, part, *times, runs})
	if err != nil {
		return err
	}
	f, err := os.OpenFile(k.file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Close())
}
