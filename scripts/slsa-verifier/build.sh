#!/usr/bin/env bash
# The pinned slsa-verifier, which the tests ask about summaries of ours.
exec "$(dirname "$0")/../build-go.sh" slsa-verifier tools \
  slsa-verifier=github.com/slsa-framework/slsa-verifier/v2/cli/slsa-verifier
