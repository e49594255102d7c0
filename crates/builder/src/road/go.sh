#!/bin/sh
# Written by `portcullis builder init`; change it and review it like code. It runs in a sandbox without network: the
# modules are those that go.sum names, fetched and checked before.
set -eu
mkdir -p out
export GOPROXY=file:///build/inputs/go GOSUMDB=off GOTOOLCHAIN=local GOFLAGS=-mod=readonly
export GOPATH=/tmp/go GOCACHE=/tmp/go-cache CGO_ENABLED=0
if [ -d vendor ]; then export GOFLAGS=-mod=vendor; fi
go build -trimpath -buildvcs=false -ldflags=-buildid= -o out/ ./...
