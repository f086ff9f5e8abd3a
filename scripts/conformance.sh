#!/bin/sh
# `npm run test:conformance`: the server scenarios of the official suite, through a real daemon to a stdio server of each era.
# Ends with `N passed, N failed`; each scored scenario counts one. The suite and the Node that it needs (22; Governor stays
# on its own) are installed once, into a folder of the user's cache: they are tools of this test, no dependencies.
# usage: conformance.sh [--direct] [--only=SCENARIO]   --direct: the fixtures by their SDK's own HTTP, without Governor
set -eu
cd "$(dirname "$0")/.."
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/governor-conformance

install() { # FOLDER PACKAGE@VERSION: installed whole, or not there
  [ ! -f "$CACHE/$1/.installed" ] || return 0
  echo "Installing $2 …" >&2
  mkdir -p "$CACHE/$1"
  npm install --prefix "$CACHE/$1" --no-save --no-audit --no-fund --loglevel=error "$2" >&2
  touch "$CACHE/$1/.installed"
}

sh scripts/prepare.sh
install suite-0.1.16 @modelcontextprotocol/conformance@0.1.16
install suite-0.2.0-alpha.12 @modelcontextprotocol/conformance@0.2.0-alpha.12
if [ "$(node -p 'process.versions.node.split(".")[0]')" -ge 22 ]; then
  runtime=$(command -v node)
else
  package=node-$(node -p 'process.platform + "-" + process.arch')
  install "$package" "$package@22.23.5"
  runtime=$CACHE/$package/node_modules/$package/bin/node
fi
exec node dist/test/conformance/main.js "--runtime=$runtime" "--cache=$CACHE" "$@"
