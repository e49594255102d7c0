#!/usr/bin/env bash
# Builds the independent implementations of logs and witnesses from the Go module beside this file into
# ~/.cache/portcullis/tlog-interop: litewitness, and a program of ours around torchwood and Tessera. What is there
# already, and was built from these files, is left alone.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out="$HOME/.cache/portcullis/tlog-interop"
cd "$here"
from=$(cat -- *.go go.mod go.sum | sha256sum | cut -d' ' -f1)
[ "$(cat "$out/built-from" 2>/dev/null || true)" = "$from" ] && exit 0
go=$("$here/../find-go.sh")
mkdir -p "$out"
echo "building litewitness and Tessera (a minute the first time)"
build() {
  CGO_ENABLED=0 GOFLAGS=-mod=readonly "$go" build -trimpath -ldflags "-s -w" -o "$out/$1.tmp" "$2"
  mv "$out/$1.tmp" "$out/$1"
}
build litewitness filippo.io/torchwood/cmd/litewitness
build tlog-interop .
echo "$from" > "$out/built-from"
