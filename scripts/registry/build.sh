#!/usr/bin/env bash
# Real parts for the client of registries, into ~/.cache/portcullis/registry: Debian's docker-registry, unpacked and not
# installed, and from the Go module beside this file crane, oras, and a registry with the referrers API. What is there
# already, and was built from these files, is left alone.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out="$HOME/.cache/portcullis/registry"
cd "$here"
from=$(cat -- *.go go.mod go.sum | sha256sum | cut -d' ' -f1)
[ "$(cat "$out/built-from" 2>/dev/null || true)" = "$from" ] && exit 0
go=$("$here/../find-go.sh")
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 777 "$work"
[ -n "$(ls -A /var/lib/apt/lists/partial/../*Packages* 2>/dev/null)" ] || apt-get update -qq || true
(cd "$work" && apt-get -qq download docker-registry && dpkg -x docker-registry_*.deb unpacked)
cp "$work/unpacked/usr/bin/docker-registry" "$out/docker-registry.tmp"
mv "$out/docker-registry.tmp" "$out/docker-registry"
echo "building crane, oras and a registry (two minutes the first time)"
build() {
  CGO_ENABLED=0 GOFLAGS=-mod=readonly "$go" build -trimpath -ldflags "-s -w" -o "$out/$1.tmp" "$2"
  mv "$out/$1.tmp" "$out/$1"
}
build registry .
build crane github.com/google/go-containerregistry/cmd/crane
build oras oras.land/oras/cmd/oras
echo "$from" > "$out/built-from"
