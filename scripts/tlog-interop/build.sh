#!/usr/bin/env bash
# Independent implementations of logs and witnesses: litewitness, and a program of ours around torchwood and Tessera.
exec "$(dirname "$0")/../build-go.sh" tlog-interop tlog-interop \
  litewitness=filippo.io/torchwood/cmd/litewitness tlog-interop=.
