#!/usr/bin/env bash
# A store with S3's API that keeps objects as files and verifies every signature, into ~/.cache/portcullis/s3, and
# Amazon's own client in an environment of its own.
set -euo pipefail
"$(dirname "$0")/../build-go.sh" s3 s3 versitygw=github.com/versity/versitygw/cmd/versitygw
