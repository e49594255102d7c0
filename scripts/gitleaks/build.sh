#!/usr/bin/env bash
# The pinned gitleaks, which the tests of the hook let look for secrets.
exec "$(dirname "$0")/../build-go.sh" gitleaks tools gitleaks=github.com/zricethezav/gitleaks/v8
