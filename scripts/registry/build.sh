#!/usr/bin/env bash
# Real parts for the client of registries, into ~/.cache/portcullis/registry: Debian's docker-registry, unpacked and not
# installed, and from the Go module beside this file crane, oras, and a registry with the referrers API.
set -euo pipefail
out="$HOME/.cache/portcullis/registry"
if [ ! -x "$out/docker-registry" ]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  chmod 777 "$work"
  [ -n "$(ls /var/lib/apt/lists/*Packages* 2>/dev/null)" ] || apt-get update -qq || true
  (cd "$work" && apt-get -qq download docker-registry && dpkg -x docker-registry_*.deb unpacked)
  mkdir -p "$out"
  cp "$work/unpacked/usr/bin/docker-registry" "$out/docker-registry.tmp"
  mv "$out/docker-registry.tmp" "$out/docker-registry"
fi
"$(dirname "$0")/../build-go.sh" registry registry \
  registry=. crane=github.com/google/go-containerregistry/cmd/crane oras=oras.land/oras/cmd/oras
