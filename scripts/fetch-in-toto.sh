#!/usr/bin/env bash
# The reference implementation of in-toto, from the package index that pip uses and by the digests in
# in-toto/requirements.txt, into ~/.cache/portcullis/tools/in-toto. What is there already, and is of these, is left alone.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out="$HOME/.cache/portcullis/tools/in-toto"
from=$(sha256sum < "$here/in-toto/requirements.txt" | cut -d' ' -f1)
[ "$(cat "$out/built-from" 2>/dev/null || true)" = "$from" ] && exit 0
python3 -c 'import ensurepip' 2> /dev/null || { echo "fetch-in-toto: please install python3 and python3-venv" >&2; exit 1; }
mkdir -p "${out%/*}"
rm -rf "$out"
python3 -m venv "$out"
"$out/bin/pip" install --quiet --disable-pip-version-check --require-hashes --requirement "$here/in-toto/requirements.txt"
"$out/bin/in-toto-verify" --version
echo "$from" > "$out/built-from"
