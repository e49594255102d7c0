#!/usr/bin/env bash
# The reference implementation of in-toto, from the package index that pip uses, into ~/.cache/portcullis/tools/in-toto.
set -euo pipefail
tools="$HOME/.cache/portcullis/tools"
[ -x "$tools/in-toto/bin/in-toto-verify" ] && exit 0
command -v python3 > /dev/null || { echo "fetch-in-toto: needs python3 with venv" >&2; exit 1; }
mkdir -p "$tools"
rm -rf "$tools/in-toto"
python3 -m venv "$tools/in-toto"
"$tools/in-toto/bin/pip" install --quiet --disable-pip-version-check in-toto==3.0.0
"$tools/in-toto/bin/in-toto-verify" --version
