#!/bin/sh
# Written by `portcullis builder init`; change it and review it like code. It runs in a sandbox without network.
set -eu
mkdir -p out
make
cp {PROGRAM} out/
