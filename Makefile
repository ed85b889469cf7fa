# The only door. `make help` says what there is.
.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c

TOOLS := bin/tools
export PATH := $(CURDIR)/$(TOOLS):$(PATH)

# What `buf breaking` compares with.
AGAINST ?= .git\#ref=$(shell git rev-parse -q --verify main || git rev-parse HEAD)

.PHONY: help
help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build relay, appserver and holdfast into bin/
	go build -o bin/ ./services/relay ./services/appserver ./cmd/holdfast

.PHONY: demo
demo: build ## Reload an ingress under traffic and show that nothing is lost (needs Go only)
	bin/holdfast demo $(DEMO)

.PHONY: test
test: setup lint build ## Do all set-up, lint, and run every test
	go build -race ./...
	@# The exploration has no goroutines for the race detector to watch, and takes ten times as long under it.
	gotestsum --format pkgname-and-test-fails -- -count=1 -timeout 20m ./pkg/ordering
	@# The budgets count allocations, which the race detector adds to.
	gotestsum --format pkgname-and-test-fails -- -p 1 -count=1 -run '^TestBudget' ./pkg/... ./services/...
	@# One package at a time: those that measure processes and containers must not starve each other.
	gotestsum --format pkgname-and-test-fails -- -p 1 -race -count=1 -timeout 20m ./...

.PHONY: setup
setup: $(TOOLS)/.stamp ## Install what the tests need (Debian packages, tools as Go modules)
	test/setup.sh

.PHONY: lint
lint: $(TOOLS)/.stamp ## Check formatting, vet, staticcheck, the wire contract and known vulnerabilities
	@test -z "$$(gofumpt -l $$(git ls-files '*.go' ':!gen'))" || { gofumpt -l $$(git ls-files '*.go' ':!gen'); echo 'run gofumpt -w on these'; exit 1; }
	go vet ./...
	staticcheck ./...
	buf lint
	buf breaking --against '$(AGAINST)'
	test/stale.sh
	test/vulnerabilities.sh

.PHONY: generate
generate: $(TOOLS)/.stamp ## Write gen/ anew from proto/
	buf generate

.PHONY: explore
explore: ## Explore deeper plans of the migration protocol than the tests do (6 minutes, 4 GB)
	HOLDFAST_EXPLORE=deep go test -run '^Test(Leg)?Explorer$$' -count=1 -timeout 0 -parallel 1 -v ./pkg/ordering

.PHONY: bench
bench: setup build ## Measure beside a bare server, nginx, haproxy and a raw TCP relay (BENCH=... for its flags)
	bin/holdfast bench $(BENCH)

.PHONY: bench-moves
bench-moves: ## Measure 10,000 handoffs and resumes in one process, and what 100,000 connects leave behind
	go test -run '^TestConnectsLeaveNothingBehind$$' -v -bench . -benchtime 5x -timeout 20m ./services/relay/internal/relay

.PHONY: compare
compare: ## Compare the echo throughput with another commit (COMMIT=...), and with retention taken out
	test/compare.sh $(or $(COMMIT),HEAD~1)

$(TOOLS)/.stamp: tools/go.mod tools/go.sum tools/helm/go.mod tools/helm/go.sum
	cd tools && go build -o ../$(TOOLS)/ tool
	@# A module of its own, as helm needs other versions of what the tools share.
	cd tools/helm && go build -o ../../$(TOOLS)/ tool
	@touch $@
