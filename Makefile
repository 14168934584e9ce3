# Everything a developer or CI runs. `make help` lists the targets.

TOOLS := $(CURDIR)/.tools
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.9.0

.PHONY: help
help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "%-14s %s\n", $$1, $$2}'

.PHONY: build
build: ## the binary, static
	CGO_ENABLED=0 go build -trimpath -o lockstep ./cmd/lockstep

.PHONY: up
up: ## the whole system on this machine
	go run ./cmd/lockstep up

.PHONY: test
test: ## all tests (MongoDB's need `make mongod` once, or MONGO_URI)
	go test ./...

# SQLite, translated from C, would take three quarters of the time: what is looked
# at for races is what calls it.
.PHONY: race
race: ## all tests that run our code in their own process, with the race detector, in random order, properties in short
	go test -race -short -gcflags=modernc.org/sqlite/lib=-race=false -shuffle=on -timeout 30m $$(go list ./... | grep -vE '/test/(attack|e2e|interop)$$')

.PHONY: lint
lint: $(TOOLS)/staticcheck ## gofmt, vet, staticcheck, module hygiene
	@bad=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$bad" || { echo "gofmt wants to change:"; echo "$$bad"; exit 1; }
	go vet ./...
	$(TOOLS)/staticcheck ./...
	go mod tidy -diff
	go mod verify

.PHONY: vuln
vuln: $(TOOLS)/govulncheck ## known vulnerabilities, where the database can be reached
	@out=$$($(TOOLS)/govulncheck ./... 2>&1); code=$$?; \
	if [ $$code -ne 0 ] && echo "$$out" | grep -qE 'vuln\.go\.dev|no such host|connection refused|Forbidden|dial tcp'; then \
		echo "GOVULNCHECK DID NOT RUN: the vulnerability database cannot be reached from here"; \
	else echo "$$out" | tail -40; exit $$code; fi

.PHONY: mongod
mongod: ## a real MongoDB server for the tests, into .mongod
	./test/mongotest/install.sh

.PHONY: interop-deps
interop-deps: ## the libraries of the Node services for test/interop
	cd test/interop/node && npm ci --ignore-scripts --no-audit --no-fund --silent

.PHONY: interop
interop: ## ours and Node's services in every combination, each killed every five seconds
	LOCKSTEP_INTEROP=1 go test ./test/interop -run EveryProcessIsKilled -count=1 -timeout 60m -v

.PHONY: manifests
manifests: ## deploy/k8s against the API of Kubernetes and our command line
	cd test/kubernetes && go mod tidy -diff && go vet ./... && go test ./...

.PHONY: fleet
fleet: ## three processes of each service serve through restarts, kills, a frozen primary, a full disk, floods
	LOCKSTEP_CHAOS=1 go test ./test/e2e -run ServesThrough -count=1 -timeout 30m -v

.PHONY: chaos-mongo
chaos-mongo: ## break a set of three members while services work on it
	LOCKSTEP_CHAOS=1 go test ./test/mongotest ./store/mongodb ./test/chaos ./test/e2e -run 'Members(Obey|Fail)|IdleTail|BusTells|TheirDatabase' -p 1 -count=1 -timeout 30m -v

.PHONY: attack
attack: ## the 52 attacks of a reviewer on the running pair, a line for each
	go test ./test/attack -count=1 -v | grep -vE '^ *(=== |--- PASS|PASS)'

.PHONY: bench
bench: ## the figures of docs/performance.md, each with its raw limit beside it
	go test ./test/bench -run '^$$' -bench . -benchtime 1x -timeout 60m

.PHONY: mutants
mutants: ## plant bugs and see the tests notice
	LOCKSTEP_MUTANTS=1 go test ./test/mutants -run PlantedBugs -count=1 -timeout 60m -v

.PHONY: fuzz
fuzz: ## a short run of every fuzz target
	./test/fuzz.sh

.PHONY: soak
soak: ## the long runs: random histories, kills, and for SOAK_FOR (1h) whatever goes wrong
	go test ./replica -run History -rapid.checks=20000 -count=1
	LOCKSTEP_SOAK=1 go test ./listeners ./outbox ./test/e2e -skip TestSoak -count=1 -timeout 60m
	LOCKSTEP_SOAK=1 go test ./test/e2e -run TestSoak -count=1 -timeout 24h -v

$(TOOLS)/staticcheck: Makefile
	GOBIN=$(TOOLS) go install $(STATICCHECK)

$(TOOLS)/govulncheck: Makefile
	GOBIN=$(TOOLS) go install $(GOVULNCHECK)
