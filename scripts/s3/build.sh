#!/usr/bin/env bash
# Real parts for the proxy of object stores, into ~/.cache/portcullis/s3: versitygw, a store that verifies every signature
# and keeps objects as files, and Amazon's clients, by the digests in requirements.txt.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
"$here/../build-go.sh" s3 s3 versitygw=github.com/versity/versitygw/cmd/versitygw
out="$HOME/.cache/portcullis/s3/client"
from=$(sha256sum < "$here/requirements.txt" | cut -d' ' -f1)
[ "$(cat "$out/built-from" 2>/dev/null || true)" = "$from" ] && exit 0
rm -rf "$out"
python3 -m venv "$out"
"$out/bin/pip" install --quiet --disable-pip-version-check --require-hashes --requirement "$here/requirements.txt"
"$out/bin/aws" --version
echo "$from" > "$out/built-from"
