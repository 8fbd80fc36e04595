# Two commands to begin with: `make demo` and `make test`.

GO ?= go
GOFLAGS_TEST ?= -timeout 14m

.PHONY: cluster test-cluster bench-cluster demo build deb test test-all chaos race screenshot check fuzz bench bench-get fmt cover deps vulncheck

demo: ## run the main job on an embedded example
	$(GO) run ./cmd/ingest demo

build: ## build bin/ingest
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/ingest ./cmd/ingest

deb: ## build the Debian package in dist/
	GO=$(GO) ./scripts/build-deb.sh

deps: ## install what the tests need (Debian packages, only what is missing)
	./scripts/install-test-deps.sh

test: deps check ## install what is missing and run every test, on real servers
	PEC_INGEST_REAL=1 $(GO) test $(GOFLAGS_TEST) ./...

test-all: test ## and the Debian package in a fresh Debian, and there under systemd; needs root
	./scripts/install-test-deps.sh package
	./scripts/test-package.sh
	./scripts/test-systemd.sh

race: deps ## the same under the race detector
	PEC_INGEST_REAL=1 $(GO) test -race -timeout 40m ./...

screenshot: ## make docs/img/page.png anew from the demo, with Chromium
	@mkdir -p docs/img && dir=$$(mktemp -d) && PEC_INGEST_REAL=1 PEC_INGEST_SCREENSHOTS=$$dir $(GO) test -count=1 -run '^TestDemoPage$$' ./cmd/ingest && \
		cp $$dir/demo.png docs/img/page.png && rm -r $$dir

check: ## format, vet, staticcheck
	@test -z "$$(gofmt -l cmd internal)" || { gofmt -l cmd internal; echo 'run make fmt'; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

chaos: deps ## break everything around the program, in the long form (an hour and a half); see docs/reliability.md
	GO=$(GO) FUZZTIME=$(FUZZTIME) ./scripts/chaos.sh

FUZZTIME ?= 60s
fuzz: ## run each fuzz target for FUZZTIME
	./scripts/fuzz.sh $(FUZZTIME)

bench: ## all measurements, into docs/performance.md; some 10 minutes on a quiet machine
	GO=$(GO) ./scripts/bench.sh

bench-get: ## `ingest get` beside pass and gopass
	GO=$(GO) ./scripts/bench-get.sh

cluster: build ## three members of etcd and two services on loopback, to try by hand; Ctrl-C ends all
	$(GO) run ./internal/demo/cluster bin/ingest

test-cluster: deps ## the cluster's long tests: faults for minutes, a full inbox with leaders killed
	PEC_INGEST_REAL=1 PEC_INGEST_LONG=1 $(GO) test -timeout 90m -v -run 'Cluster|Faults|Term|NoSpace|Certificates|Users' ./internal/vault/etcdstore ./cmd/ingest

bench-cluster: deps ## the same work on a file and on three members of etcd
	PEC_INGEST_REAL=1 PEC_INGEST_BENCH=1 $(GO) test -timeout 30m -v -run TestClusterFigures ./cmd/ingest

fmt: ## format the sources
	gofmt -w cmd internal

cover: ## coverage by package
	PEC_INGEST_REAL=1 $(GO) test -coverprofile=coverage.out ./... && $(GO) tool cover -func=coverage.out | tail -1

vulncheck: ## known vulnerabilities; needs the network
	$(GO) run golang.org/x/vuln/cmd/govulncheck@v1.1.4 ./...
