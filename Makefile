# make build          bin/escrowd
# make demo           a running system with a synthetic marketplace in it
# make bench          how fast that is on this machine, with the books checked
# make test           everything that has to hold before a change is taken
# make install-tools  what the two need on Debian, by apt-get (as root)

# A build in a checkout that git does not trust (another user's, or without
# .git) would fail on the version stamp; it goes without.
VCS := $(shell git rev-parse HEAD >/dev/null 2>&1 && echo true || echo false)

.PHONY: build demo bench test install-tools clean

build:
	go build -trimpath -buildvcs=$(VCS) -o bin/escrowd ./cmd/escrowd

demo:
	@.ci/install postgresql
	@$(MAKE) --no-print-directory build
	bin/escrowd demo $(ARGS)

bench:
	@.ci/install postgresql
	@$(MAKE) --no-print-directory build
	bin/escrowd bench --table --orders 5000 --settle 50000 --history 50000 $(ARGS)

test:
	@.ci/check

install-tools:
	@.ci/install

clean:
	rm -rf bin
