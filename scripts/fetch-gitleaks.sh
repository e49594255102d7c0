#!/usr/bin/env bash
# gitleaks from the Go module proxy, checked by Go's checksum database, into ~/.cache/portcullis/tools.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
version=v8.30.1
tools="$HOME/.cache/portcullis/tools"
[ -x "$tools/gitleaks" ] && exit 0
go=$("$here/find-go.sh")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo "building gitleaks (a minute the first time)"
CGO_ENABLED=0 GOBIN="$work" "$go" install -trimpath -ldflags "-s -w" "github.com/zricethezav/gitleaks/v8@$version"
mkdir -p "$tools"
mv "$work/gitleaks" "$tools/gitleaks.tmp"
mv "$tools/gitleaks.tmp" "$tools/gitleaks"
