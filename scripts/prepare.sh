#!/bin/sh
# Brings a clone to the state in which it can run: the right Node, dependencies as locked, everything compiled.
# Does nothing that is done already. Quiet unless something fails.
set -eu
cd "$(dirname "$0")/.."

major=$(node -p 'process.versions.node.split(".")[0]' 2>/dev/null || echo 0)
if [ "$major" -lt 20 ]; then
  echo "Governor needs Node 20 or newer; this is $(node --version 2>/dev/null || echo 'no Node at all')." >&2
  exit 1
fi

# npm writes this file last, so it is older than the lock exactly when something is missing.
if [ ! -f node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
  echo 'Installing dependencies …' >&2
  npm ci --no-audit --no-fund --loglevel=error >&2
  touch node_modules/.package-lock.json
fi

if [ ! -f dist/.built ] || [ -n "$(find daemon lib config test scripts package.json tsconfig.json -newer dist/.built \( -name '*.ts' -o -name '*.json' \) -print -quit)" ]; then
  echo 'Building …' >&2
  node_modules/.bin/tsc -p tsconfig.json >&2
  # A test that is gone must not run on.
  find dist/test -name '*.test.js' | while read -r test; do
    source=${test#dist/}
    [ -f "${source%.js}.ts" ] || rm "$test"
  done
  touch dist/.built
fi
