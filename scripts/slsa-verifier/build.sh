#!/usr/bin/env bash
# Builds the pinned slsa-verifier from the Go module beside this file into ~/.cache/portcullis/tools. What is there
# already, and was built from these files, is left alone.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out="$HOME/.cache/portcullis/tools"
cd "$here"
from=$(cat -- go.mod go.sum | sha256sum | cut -d' ' -f1)
[ "$(cat "$out/slsa-verifier.built-from" 2>/dev/null || true)" = "$from" ] && exit 0
go=$("$here/../find-go.sh")
mkdir -p "$out"
echo "building slsa-verifier (a minute the first time)"
CGO_ENABLED=0 GOFLAGS=-mod=readonly "$go" build -trimpath -ldflags "-s -w" -o "$out/slsa-verifier.tmp" \
  github.com/slsa-framework/slsa-verifier/v2/cli/slsa-verifier
mv "$out/slsa-verifier.tmp" "$out/slsa-verifier"
echo "$from" > "$out/slsa-verifier.built-from"
