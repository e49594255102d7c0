#!/usr/bin/env bash
# Builds the pinned helm from the Go module beside this file into ~/.cache/portcullis/tools/helm. What is there already
# is left alone.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out="$HOME/.cache/portcullis/tools/helm"
[ -x "$out" ] && exit 0
go=$("$here/../find-go.sh")
mkdir -p "${out%/*}"
cd "$here"
echo "building helm (two minutes the first time)"
CGO_ENABLED=0 GOFLAGS=-mod=readonly "$go" build -trimpath -ldflags "-s -w" -o "$out.tmp" helm.sh/helm/v4/cmd/helm
mv "$out.tmp" "$out"
