# Raccord's front door. Meson does the building; `make help` lists what can be asked for.

PREFIX ?= /usr/local
DESTDIR ?=
INTO = $(DESTDIR)$(PREFIX)
DEMO = .demo
# Linked as one program: a call runs through files of several rooms, which costs 5 % of its CPU time otherwise.
MESON_RELEASE = -Dbuildtype=release -Dtests=false -Db_lto=true
MESON_DEBUG = -Dbuildtype=debugoptimized -Dtests=true

all: build ## (the default) build build/raccord, optimised

run: ## install what is missing, build, and start a hub with a demonstration provider
	@tools/deps run
	@$(MAKE) -s build
	build/raccord serve --demo --data $(DEMO)

clean-demo: ## remove the demonstration's data
	@tools/clean-demo $(DEMO)

build: build/build.ninja
	@ninja -C build --quiet
	@if [ ! -e build/raccord ] && [ -e build/src/cmd/raccord ]; then ln -s src/cmd/raccord build/raccord; fi

test: ## install what is missing, build with sanitizers, and run every test
	@tools/deps test
	@tests/e2e/oidc/install
	@$(MAKE) -s build/test/build.ninja && ninja -C build/test --quiet || { echo "0 passed, 1 failed"; exit 1; }
	@tools/run-tests build/test

postgres: ## the unit and end-to-end tests once more, with all data on a PostgreSQL server
	@tools/deps test
	@tests/e2e/oidc/install
	@$(MAKE) -s build/test/build.ninja && ninja -C build/test --quiet
	@tests/unit/on-postgres build/test
	@RACCORD_BINARY=$(CURDIR)/build/test/src/cmd/raccord tests/e2e/run --postgres

asan: build/test/build.ninja ## unit and end-to-end tests with the address and undefined-behaviour sanitizers
	@ninja -C build/test --quiet
	@tools/run-tests build/test --without-checks

# The thread sanitizer cannot place its shadow under some kernels' address randomisation: switch that off for it.
tsan: build/tsan/build.ninja ## unit and end-to-end tests with the thread sanitizer
	@ninja -C build/tsan --quiet
	@setarch -R tools/run-tests build/tsan --without-checks

fuzz: ## fuzz one parser: make fuzz F=http_head [T=60]  (seconds; without F, lists what there is)
	@tools/deps fuzz
	@tools/fuzz "$(F)" "$(or $(T),60)"

bench: ## measure Raccord beside nginx and HAProxy: make bench [ARGS="--seconds 5 --threads 2 --record"]
	@tools/deps bench
	@$(MAKE) -s build
	@bench/run $(ARGS)

docs: build/test/build.ninja ## write the pages that follow from the source
	@tools/docs
	@tools/connector-docs connectors docs/connectors.md
	@ninja -C build/test --quiet tests/unit/cmd/cmd_config_test >/dev/null
	@RACCORD_WRITE_DOCS=1 build/test/tests/unit/cmd/cmd_config_test >/dev/null 2>&1

lint: ## show what clang-format would change (advice, not a gate)
	@tools/deps lint
	@git ls-files 'src/*.[ch]' 'tests/*.[ch]' 'fuzz/*.[ch]' | xargs clang-format --dry-run

format: ## mend the lines that tools/check-style refuses, and only these
	@tools/deps lint
	@tools/format

deps: ## install what building needs
	@tools/deps build

install: build ## install binary, manual page, shell completion and systemd unit below PREFIX (and DESTDIR)
	install -d $(INTO)/bin $(INTO)/lib/systemd/system $(INTO)/share/man/man1 $(INTO)/share/bash-completion/completions
	install -m 755 build/raccord $(INTO)/bin/raccord
	build/raccord help --man > $(INTO)/share/man/man1/raccord.1
	build/raccord completion bash > $(INTO)/share/bash-completion/completions/raccord
	sed 's|@PREFIX@|$(PREFIX)|g' contrib/raccord.service > $(INTO)/lib/systemd/system/raccord.service
	chmod 644 $(INTO)/share/man/man1/raccord.1 $(INTO)/share/bash-completion/completions/raccord \
	    $(INTO)/lib/systemd/system/raccord.service

uninstall: ## remove what install put there
	rm -f $(INTO)/bin/raccord $(INTO)/share/man/man1/raccord.1 $(INTO)/share/bash-completion/completions/raccord \
	    $(INTO)/lib/systemd/system/raccord.service

clean: ## remove everything that was built
	rm -rf build

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build/build.ninja:
	@command -v meson >/dev/null || { echo "meson is missing; make deps installs what building needs" >&2; exit 1; }
	@mkdir -p build
	@meson setup build $(MESON_RELEASE) >build/setup.log || { cat build/setup.log >&2; exit 1; }

build/test/build.ninja:
	@mkdir -p build/test
	@meson setup build/test -Db_sanitize=address,undefined $(MESON_DEBUG) >build/test/setup.log || \
	    { cat build/test/setup.log >&2; exit 1; }

build/tsan/build.ninja:
	@mkdir -p build/tsan
	@meson setup build/tsan -Db_sanitize=thread "-Dc_args=-D_GNU_SOURCE -include $(CURDIR)/tools/tsan.h" $(MESON_DEBUG) \
	    >build/tsan/setup.log || { cat build/tsan/setup.log >&2; exit 1; }

.PHONY: all run clean-demo build test postgres asan tsan fuzz bench docs lint format deps install uninstall clean help
