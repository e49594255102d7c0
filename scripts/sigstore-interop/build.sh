#!/usr/bin/env bash
# sigstore-go behind a program of ours, which the tests ask beside us.
exec "$(dirname "$0")/../build-go.sh" sigstore-interop sigstore-interop sigstore-interop=.
