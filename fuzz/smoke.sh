#!/usr/bin/env bash
# Builds every fuzz target with coverage on stable Rust, runs its corpus, and fuzzes it for the seconds given (default 3).
set -euo pipefail
cd "$(dirname "$0")"
seconds="${1:-3}"
export CARGO_TARGET_DIR="${PORTCULLIS_FUZZ_TARGET:-$HOME/.cache/portcullis/fuzz-target}"
export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing"
cargo build --quiet --release --target x86_64-unknown-linux-gnu
for target in fuzz_targets/*.rs; do
  name=$(basename "$target" .rs)
  found=$(mktemp -d)
  artifacts=$(mktemp -d)
  "$CARGO_TARGET_DIR/x86_64-unknown-linux-gnu/release/$name" -runs=0 -rss_limit_mb=2048 "corpus/$name" > "$artifacts/log" 2>&1 || { cat "$artifacts/log"; exit 1; }
  "$CARGO_TARGET_DIR/x86_64-unknown-linux-gnu/release/$name" -seed=1 -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
    -artifact_prefix="$artifacts/" "$found" "corpus/$name" > "$artifacts/log" 2>&1 \
    || { tail -30 "$artifacts/log"; echo "fuzz: $name failed; its input is in $artifacts"; exit 1; }
  echo "fuzz: $name: $(ls "corpus/$name" | wc -l) seeds, $(grep -oE 'stat::number_of_executed_units: [0-9]+' "$artifacts/log" | grep -oE '[0-9]+' || grep -oE 'Done [0-9]+' "$artifacts/log" | grep -oE '[0-9]+' || echo some) runs"
  rm -rf "$found" "$artifacts"
done
