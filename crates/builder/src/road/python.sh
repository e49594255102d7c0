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
# a copy without what is not the project's: setuptools takes every folder beside a package for another package
mkdir /tmp/project
for entry in * .[!.]*; do
    case $entry in out | portcullis | .git) continue ;; esac
    if [ -e "$entry" ]; then cp -a "$entry" /tmp/project/; fi
done
PYTHONPATH=/tmp/tools python3 -m pip wheel --no-deps --no-build-isolation --wheel-dir=out /tmp/project
