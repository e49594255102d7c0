#!/usr/bin/env bash
# Prints the path of a Go that is new enough: this machine's own, or a pinned one from the module proxy in
# ~/.cache/portcullis/go, fetched once and compared with its digest.
set -euo pipefail
version=1.26.8
digest=30c2b1bf7dcc88d3eb0a1364e47ddd9128edb3110a30e8a0ef61cd5856b31de7
own=$(command -v go || true)
if [ -n "$own" ] && "$own" version | awk '{ split(substr($3, 3), n, "."); exit !(n[1] > 1 || n[2] >= 26) }'; then
  echo "$own"
  exit 0
fi
home="$HOME/.cache/portcullis/go"
if [ ! -x "$home/bin/go" ]; then
  [ "$(uname -sm)" = "Linux x86_64" ] || { echo "find-go.sh: please install Go 1.26 or newer" >&2; exit 1; }
  proxy=${GOPROXY:-https://proxy.golang.org}
  proxy=${proxy%%[,|]*}
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  echo "fetching Go $version" >&2
  name="golang.org/toolchain@v0.0.1-go$version.linux-amd64"
  curl -fsSL -o "$work/go.zip" "$proxy/${name/@//@v/}.zip"
  echo "$digest  $work/go.zip" | sha256sum --check --quiet >&2
  unzip -q "$work/go.zip" -d "$work"
  # an archive of a module keeps no permissions
  chmod +x "$work/$name"/bin/* "$work/$name"/pkg/tool/*/*
  mkdir -p "${home%/*}"
  rm -rf "$home"
  mv "$work/$name" "$home"
fi
echo "$home/bin/go"
