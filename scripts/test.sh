#!/bin/sh
# `npm test`: units, pins and real daemons with real tools, in a few minutes, from a fresh clone. `npm run test:long` and
# `npm run test:fault` are the longer suites: whole features through the gateway; escapes, crashes, full disks.
# usage: test.sh [PATTERN…]   each pattern names compiled test files below dist/test, e.g. unit/core
set -eu
cd "$(dirname "$0")/.."
sh scripts/prepare.sh
# tap builds itself anew for the plugins of .taprc, but the run that notices still starts every test with the default ones:
# half a second of CPU each, for a TypeScript loader that nothing needs.
if [ ! node_modules/.tap-built -nt .taprc ]; then
  node_modules/.bin/tap build
  touch node_modules/.tap-built
fi
[ $# -gt 0 ] || set -- unit pins integration
exec node dist/scripts/run-tests.js "$@"
