#!/usr/bin/env bash
# The node's image verifier as one static file, into ~/.cache/portcullis/node: it needs no library of the node.
set -euo pipefail
cd "$(dirname "$0")/.."
target="$HOME/.cache/portcullis/node-target" out="$HOME/.cache/portcullis/node"
RUSTFLAGS="-C target-feature=+crt-static" CARGO_TARGET_DIR="$target" \
  cargo build --quiet --locked --release -p node --target x86_64-unknown-linux-gnu
mkdir -p "$out"
cp "$target/x86_64-unknown-linux-gnu/release/portcullis-image-verifier" "$out/portcullis-image-verifier.tmp"
mv "$out/portcullis-image-verifier.tmp" "$out/portcullis-image-verifier"
