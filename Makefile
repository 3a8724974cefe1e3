# Cardea. `make` or `make help` lists the targets.
SHELL := /bin/bash -o pipefail
.DEFAULT_GOAL := help

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X github.com/cardea-dev/cardea/cmd/cli.buildVersion=$(VERSION)
# IMAGE_ARGS are for docker build: --build-arg GOFIPS140=v1.0.0 makes the FIPS image.
IMAGE_ARGS ?=
IMAGE   ?= ghcr.io/cardea-dev/cardea:$(VERSION)
# The frozen module of `make build-fips`; v1.26.0 is the newer one, in process.
GOFIPS140 ?= v1.0.0
# How long each fuzz target runs in `make fuzz`.
FUZZTIME ?= 1m
# CGO is off in everything that is shipped; only the race detector needs it.
export CGO_ENABLED ?= 0
# One set of flags everywhere, so that everything shares one build cache.
export GOFLAGS := $(filter-out -trimpath,$(GOFLAGS)) -trimpath

.PHONY: help
help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build bin/cardea.
	@mkdir -p bin
	$(GO) build -ldflags "$(LDFLAGS)" -o bin/cardea ./cmd/cardea

.PHONY: build-fips
build-fips: ## Build bin/cardea-fips with the Go Cryptographic Module GOFIPS140 (v1.0.0, the certified one), in FIPS 140-3 mode.
	@mkdir -p bin
	GOFIPS140=$(GOFIPS140) $(GO) build -ldflags "$(LDFLAGS)" -o bin/cardea-fips ./cmd/cardea

.PHONY: run
run: build ## Build and run `cardea demo`: everything, without a cluster.
	@exec ./bin/cardea demo $(ARGS)

.PHONY: test
test: check conformance chart ## Everything: check, outside suites, the chart, a short soak, and the tests against a real etcd and kube-apiserver.
	@$(MAKE) --no-print-directory soak ARGS=-test.short
	KUBEBUILDER_ASSETS="$$(hack/tools/build etcd kube-apiserver kubectl)" \
	  $(GO) test -tags envtest -count=1 ./controllers/ 2>&1
	$(GO) test -tags fips -count=1 ./test/fips 2>&1

.PHONY: check
check: fmt vet lint unit generated ## The quick one: format, vet, lint, race tests, policy. No cluster, no root.

.PHONY: fmt
fmt: ## Fail if a file is not formatted as gofumpt does.
	@out=$$("$$(hack/tools/build gofumpt)"/gofumpt -l $$(git ls-files '*.go')); \
	  [ -z "$$out" ] || { echo "not formatted (run gofumpt -w):"; echo "$$out"; exit 1; }

.PHONY: vet
vet:
	$(GO) vet ./...
	$(GO) vet -tags envtest ./controllers/
	$(GO) vet -tags e2e ./test/e2e
	$(GO) vet -tags cluster ./test/cluster
	$(GO) vet -tags soak ./test/soak
	$(GO) vet -tags fips ./test/fips
	$(GO) vet -tags scan ./test/scan

.PHONY: lint
lint: ## staticcheck; govulncheck where its database can be reached.
	"$$(hack/tools/build staticcheck)"/staticcheck -tags envtest,e2e,cluster,soak,fips,scan ./...
	@if curl -sfo /dev/null --max-time 5 https://vuln.go.dev/index/db.json; then \
	  "$$(hack/tools/build govulncheck)"/govulncheck ./...; \
	else echo "govulncheck: its database cannot be reached from here; not run"; fi

.PHONY: unit
unit:
	CGO_ENABLED=1 $(GO) test -race ./... 2>&1 | { grep -v 'no test files' || true; }
	@# The race detector allocates: the ceilings are held without it.
	@$(GO) test -count=1 -run 'Alloc|Idle|Memory|Garbage' ./dataplane/... 2>&1 | { grep -v -E '^ok|no test files' || true; }

.PHONY: generate
generate: ## Rewrite what is generated from the types of api/v1alpha1 and from config: DeepCopy, config/crd and its copy in the chart, config/install.yaml.
	@gen="$$(hack/tools/build controller-gen)/controller-gen"; \
	  "$$gen" object paths=./api/v1alpha1 && "$$gen" crd paths=./api/v1alpha1 output:crd:artifacts:config=config/crd
	@cp config/crd/cardea.dev_ingressclassparameters.yaml charts/cardea/files/
	@{ echo "# Generated from config by make generate; do not edit."; "$$(hack/tools/build kubectl)/kubectl" kustomize config; } >config/install.yaml

.PHONY: generated
generated: ## Fail if something generated is not what its source says.
	@out=$$(mktemp -d) && trap 'rm -rf "$$out"' EXIT && gen="$$(hack/tools/build controller-gen)/controller-gen" && \
	  "$$gen" object paths=./api/v1alpha1 output:object:dir="$$out" && "$$gen" crd paths=./api/v1alpha1 output:crd:dir="$$out" && \
	  diff -u api/v1alpha1/zz_generated.deepcopy.go "$$out/zz_generated.deepcopy.go" && \
	  diff -u config/crd/cardea.dev_ingressclassparameters.yaml "$$out/cardea.dev_ingressclassparameters.yaml" && \
	  diff -u charts/cardea/files/cardea.dev_ingressclassparameters.yaml "$$out/cardea.dev_ingressclassparameters.yaml" || \
	  { echo "run make generate"; exit 1; }
	@$(GO) mod tidy -diff
	@$(GO) mod verify >/dev/null

.PHONY: golden
golden: generate ## Rewrite golden files and generated documentation; look at the diff.
	$(GO) test ./api/annotation ./api/configmap ./api/v1alpha1 ./controllers/translate ./controllers/manifest ./dataplane/observe ./cmd/cli -update

.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME (1m).
	@for p in $$(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u); do \
	  for f in $$(grep -ho '^func Fuzz[A-Za-z0-9]*' $$p/*_test.go | cut -c6-); do \
	    echo "$$p $$f"; $(GO) test $$p -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) || exit 1; \
	  done; done

.PHONY: bench
bench: build ## Compare with nginx and HAProxy; ARGS='-run https-h1' etc., docs/performance.md.
	@$(GO) build -o bin/bench ./test/bench
	@bin/bench $(ARGS)

.PHONY: scale
scale: build ## Measure 10,000 hosts: start, memory, handshakes, changes; ARGS='-hosts 1000', '-mode controller' etc.
	@$(GO) build -o bin/scale ./test/scale
	@bin/scale $(ARGS)

.PHONY: conformance
conformance: build ## Outside suites against the data plane: h2spec, and gRPC's interoperability cases.
	cd test/conformance && $(GO) test -count=1 ./...
	cd test/grpc && CARDEA_BIN=$(CURDIR)/bin/cardea $(GO) test -count=1 ./...

.PHONY: chart
chart: ## What the chart renders, held against goldens, an API server and real metrics; ARGS=-update rewrites.
	@tools="$$(hack/tools/build helm etcd kube-apiserver kubectl)" && cd test/chart && \
	  CARDEA_TOOLS="$$tools" KUBEBUILDER_ASSETS="$$tools" $(GO) test -count=1 ./... $(ARGS)

.PHONY: soak
soak: build ## All kinds of load on bin/cardea, each exchange held against its outcome; ARGS='-time 10m'.
	@$(GO) test -tags soak -c -o bin/soak.test ./test/soak
	@CARDEA_BIN=$(CURDIR)/bin/cardea bin/soak.test -test.v -test.timeout 0 $(ARGS)

.PHONY: e2e
e2e: ## The program against a real API server, the chart in a whole cluster (as root, or KUBECONFIG's), scanners.
	test/e2e/run $(ARGS)
	@[ -n "$(ARGS)" ] || $(MAKE) --no-print-directory e2e-cluster scan

.PHONY: e2e-cluster
e2e-cluster: ## The chart in a whole cluster: rollouts, outages, cert-manager; ARGS='-test.run X -rotate 10m'.
	test/cluster/run $(ARGS)

.PHONY: cluster-up
cluster-up: ## Start a Kubernetes cluster of one node in namespaces of its own; root only, hack/cluster.
	@hack/cluster/up

.PHONY: cluster-load
cluster-load: build ## Put bin/cardea into that cluster as an image and restart what runs it.
	@hack/cluster/load

.PHONY: cluster-down
cluster-down: ## End that cluster and remove all of it.
	@hack/cluster/down

.PHONY: scan
scan: build ## Have testssl.sh and sslscan (Debian packages) judge bin/cardea.
	CARDEA_BIN=$(CURDIR)/bin/cardea $(GO) test -tags scan -count=1 -timeout 25m ./test/scan

.PHONY: image
image: ## Build the container image with docker; IMAGE_ARGS='--platform linux/amd64,linux/arm64' with buildx, docs/release.md.
	docker build --build-arg VERSION=$(VERSION) $(IMAGE_ARGS) -t $(IMAGE) .

.PHONY: release
release: ## Make dist: programs, image for all platforms, chart, SBOMs, checksums and provenance; VERSION=v1.2.3, docs/release.md.
	@hack/release/build $(VERSION)

.PHONY: clean
clean: ## Remove what the targets made in the checkout.
	rm -rf bin dist
