# "make" alone lists the targets. Everything that a machine needs comes from scripts/deps.

.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.PHONY: help demo build test check fmt vet lint generated generate test-go bench faults clean

CACHE   := $(if $(filter Darwin,$(shell uname -s)),$(HOME)/Library/Caches,$(or $(XDG_CACHE_HOME),$(HOME)/.cache))/terrace
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
TOOL    := go tool -modfile=tools/go.mod
# The root package pattern does not reach into modules of their own (tools).
PACKAGES ?= ./...

# The machine's own settings for engines stay outside; an engine on PATH comes before ours.
unexport $(filter TF_%,$(.VARIABLES))
export PATH := $(PATH):$(CACHE)/tofu/1.12.6:/usr/sbin:/sbin

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## a whole world on this machine, to watch and to try (ARGS="--exit --json": end by itself)
	@scripts/deps demo >&2
	@$(MAKE) --no-print-directory build >&2
	@bin/terrace demo $(ARGS)

# One file that needs nothing of the machine that it runs on: docs/decisions/035-no-c.md. The
# race detector is the one thing here that is C.
export CGO_ENABLED := 0
RACE := CGO_ENABLED=1 go test -race

build: ## build bin/terrace
	go build -buildvcs=false -ldflags '-X main.version=$(VERSION)' -o bin/terrace ./cmd/terrace

test: ## install what tests need, then everything that make check does
	@scripts/deps test
	@$(MAKE) --no-print-directory check

check: fmt vet generated lint test-go ## formatting, vet, generated files, linter, all tests with -race

fmt: ## fail when a file is not formatted
	@bad=$$(git ls-files -z --cached --others --exclude-standard '*.go' | xargs -0 ls -d 2>/dev/null | xargs gofmt -l); \
	if [ -n "$$bad" ]; then echo "not formatted (gofmt -w does it):"; echo "$$bad"; exit 1; fi

vet: ## go vet
	go vet $(PACKAGES)

lint: ## golangci-lint
	$(TOOL) golangci-lint run

generate: ## write generated files anew
	$(TOOL) templ generate -path internal/web
	$(RACE) ./internal/app ./internal/cli ./internal/config -run 'TestOpenAPI|TestReference' -update

generated: ## fail when a generated file is not what its source makes
	@scripts/generated

test-go: ## all Go tests with -race (PACKAGES=./internal/config for one)
	@# What starts many processes has the machine for itself: beside each other, they wait
	@# for the processors until their deadlines are over.
	@set -e; all=$$(go list $(PACKAGES)); \
	rest=$$(echo "$$all" | grep -vE '/(e2e|faults)$$' || true); \
	if [ -n "$$rest" ]; then echo "go test -race $(PACKAGES)"; $(RACE) -timeout 60m $$rest; fi; \
	for alone in $$(echo "$$all" | grep -E '/(e2e|faults)$$' || true); do echo "go test -race $$alone"; $(RACE) -timeout 60m $$alone; done

KILLS ?= 200
TIMES ?= 3
HISTORIES ?= 10000
faults: ## break it on purpose, on both databases, for as long as it takes (KILLS=200 TIMES=3 KEEP=file SEED=1 ROWS=1,4 DATABASES=sqlite HISTORIES=10000 LANES=2)
	@scripts/deps test >&2
	@# TestModel is five times as many.
	@if [ $(HISTORIES) -gt 0 ]; then go test ./internal/promotion -timeout 0 -count 1 -run TestModel -rapid.checks=$$(( ($(HISTORIES) + 4) / 5 )) && echo "the rules of promotion: $(HISTORIES) random histories, 0 violations"; fi
	@cd faults && go test -timeout 0 -parallel $(or $(LANES),$$(nproc)) -count 1 -long -kills $(KILLS) -times $(TIMES) $(if $(KEEP),-keep $(abspath $(KEEP))) $(if $(SEED),-seed $(SEED)) $(if $(ROWS),-rows $(ROWS)) $(if $(DATABASES),-databases $(DATABASES))

bench: ## measure Terrace beside raw commands (ARGS="--json" for machines)
	@scripts/deps demo >&2
	@$(MAKE) --no-print-directory build >&2
	@go run ./bench $(ARGS)

clean: ## remove what was built; the cache of engines stays
	rm -rf bin .demo
