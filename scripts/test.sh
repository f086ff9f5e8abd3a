#!/bin/sh
# `npm test`: everything that needs no other machine, in a few minutes, from a fresh clone.
# usage: test.sh [PATTERN…]   each pattern names compiled test files below dist/test, e.g. unit/core
set -eu
cd "$(dirname "$0")/.."
sh scripts/prepare.sh
if [ $# -eq 0 ]; then
  set -- unit pins integration fault
  node_modules/.bin/oxlint --type-aware
fi
exec node dist/scripts/run-tests.js "$@"
