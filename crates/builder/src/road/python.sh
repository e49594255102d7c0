#!/bin/sh
# Written by `portcullis builder init`; change it and review it like code. It runs in a sandbox without network: the
# files are those that requirements.txt pins, fetched and checked before.
set -eu
mkdir -p out /tmp/tools
export PIP_NO_INDEX=1 PIP_FIND_LINKS=/build/inputs/python PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
if [ -d /build/inputs/python ]; then
    python3 -m pip install --require-hashes --no-deps --no-build-isolation --no-compile --target=/tmp/tools \
        --requirement=requirements.txt
fi
PYTHONPATH=/tmp/tools python3 -m pip wheel --no-deps --no-build-isolation --wheel-dir=out .
