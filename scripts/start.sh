#!/bin/sh
# `npm start`: a daemon in the foreground with the repository's limits.yaml, from a fresh clone.
set -eu
cd "$(dirname "$0")/.."
sh scripts/prepare.sh
# How a person calls the command from here; the daemon's greeting uses it.
export GOVERNOR_COMMAND=./daemon/bin/governor
exec ./daemon/bin/governor daemon --config limits.yaml "$@"
