# What a newcomer, a developer and a build server run. Each target first gets what this machine lacks: see scripts/setup.

HERALD_HOME ?= $(CURDIR)/.herald
export HERALD_HOME
# Programs that scripts/setup unpacked are used where the system has none.
export PATH := $(PATH):$(HERALD_HOME)/pkg/bin

.DEFAULT_GOAL := help
.PHONY: help demo test bench lint prepare

help: ## Say what can be made
	@sed -n 's/^\([a-z]*\): ## \(.*\)/make \1|\2/p' Makefile | while IFS='|' read -r what why; do printf '  %-12s %s\n' "$$what" "$$why"; done

demo: ## Build Herald and run it with a small demo company, on servers of its own
	@scripts/setup toolchain servers
	@cargo build --locked --bin herald
	@exec target/debug/herald demo $(ARGS)

# Only root may run the Postfix that mail is sent through.
HERALD_TEST_WITHOUT ?= $(if $(filter 0,$(shell id -u)),,postfix)
export HERALD_TEST_WITHOUT

test: ## Run all the tests
	@scripts/setup toolchain servers browser axe mail python schemathesis clock
	@[ -z "$(HERALD_TEST_WITHOUT)" ] || echo "test: left out: $(HERALD_TEST_WITHOUT)"
	@if cargo nextest --version >/dev/null 2>&1; then \
	  cargo nextest run --locked --workspace; \
	else \
	  cargo test --locked --workspace --lib --bins --test setup --test smtp --test stories --test web --test workflow && \
	  cargo test --locked --package herald-queue --test queue -- --test-threads=1 && \
	  cargo test --locked --test browser --test chaos -- --test-threads=1; \
	fi
	@cargo test --locked --workspace --doc

bench: ## Measure throughput and latency
	@scripts/setup toolchain servers mail
	@cargo bench --locked --bench herald $(ARGS)

lint: ## Check format, lints and, where cargo-deny is installed, dependencies
	@scripts/setup toolchain
	@cargo fmt --all --check
	@cargo clippy --locked --workspace --all-targets -- -D warnings
	@cargo clippy --locked --package herald-producers -- -D warnings # as a program has it that only sends
	@if cargo deny --version >/dev/null 2>&1; then cargo deny --locked check; else echo "lint: cargo-deny is not installed: left out"; fi

prepare: ## Renew .sqlx, what queries are checked against, after a query or a migration changed
	@scripts/setup toolchain servers
	@scripts/prepare
