#!/usr/bin/env bash
# build-go.sh MODULE FOLDER NAME=PACKAGE…: programs from the pinned Go module in scripts/MODULE, into
# ~/.cache/portcullis/FOLDER. What is there already, and was built from these files, is left alone.
set -euo pipefail
scripts=$(cd "$(dirname "$0")" && pwd)
module=$1 out="$HOME/.cache/portcullis/$2"
shift 2
cd "$scripts/$module"
stamp="$out/$module.built-from"
[ "${out##*/}" = "$module" ] && stamp="$out/built-from"
shopt -s nullglob
sources=(*.go go.mod go.sum)
from=$(cat -- "${sources[@]}" | sha256sum | cut -d' ' -f1)
[ "$(cat "$stamp" 2>/dev/null || true)" = "$from" ] && exit 0
go=$("$scripts/find-go.sh")
mkdir -p "$out"
for program in "$@"; do
  name=${program%%=*}
  echo "building $name (a minute or two the first time)"
  CGO_ENABLED=0 GOFLAGS=-mod=readonly "$go" build -trimpath -ldflags "-s -w" -o "$out/$name.tmp" "${program#*=}"
  mv "$out/$name.tmp" "$out/$name"
done
echo "$from" > "$stamp"
