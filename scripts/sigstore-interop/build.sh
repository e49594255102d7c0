#!/usr/bin/env bash
# Builds sigstore-go behind a program of ours, from the Go module beside this file, into
# ~/.cache/portcullis/sigstore-interop. What is there already, and was built from these files, is left alone.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out="$HOME/.cache/portcullis/sigstore-interop"
cd "$here"
from=$(cat -- *.go go.mod go.sum | sha256sum | cut -d' ' -f1)
[ "$(cat "$out/built-from" 2>/dev/null || true)" = "$from" ] && exit 0
go=$("$here/../find-go.sh")
mkdir -p "$out"
echo "building sigstore-go (two minutes the first time)"
CGO_ENABLED=0 GOFLAGS=-mod=readonly "$go" build -trimpath -ldflags "-s -w" -o "$out/sigstore-interop.tmp" .
mv "$out/sigstore-interop.tmp" "$out/sigstore-interop"
echo "$from" > "$out/built-from"
