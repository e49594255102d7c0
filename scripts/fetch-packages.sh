#!/usr/bin/env bash
# Clients that upload packages, and registries to upload to: twine, uv and pypiserver from the package index that pip
# uses, Verdaccio from the one that npm uses; and schemathesis, which asks an API what its description says. By the
# digests in packages/, into ~/.cache/portcullis/packages. What is there already, and is of these, is left alone.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)/packages
out="$HOME/.cache/portcullis/packages"
from=$(cat "$here/requirements.txt" "$here/package-lock.json" "$here/.npmrc" | sha256sum | cut -d' ' -f1)
[ "$(cat "$out/built-from" 2>/dev/null || true)" = "$from" ] && exit 0
rm -rf "$out"
mkdir -p "$out/npm"
echo "fetching twine, uv, pypiserver, schemathesis and Verdaccio (a minute the first time)"
python3 -m venv "$out/python"
"$out/python/bin/pip" install --quiet --disable-pip-version-check --require-hashes --requirement "$here/requirements.txt"
cp "$here/package.json" "$here/package-lock.json" "$here/.npmrc" "$out/npm"
(cd "$out/npm" && npm ci --loglevel=error)
"$out/python/bin/twine" --version | head -n 1
"$out/python/bin/schemathesis" --version
"$out/npm/node_modules/.bin/verdaccio" --version
echo "$from" > "$out/built-from"
