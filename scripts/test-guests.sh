#!/bin/sh
# `npm run test:guests`: launch, ladder, stops and cgroup suites in guest kernels, where cgroup v2 has its controllers: as
# root, and as a user whose systemd gives each run a scope. Ends with `N passed, N failed, N skipped`.
# Builds the guests when they are missing (Debian: root, apt; a few minutes, once). Half an hour and more on two cores. What
# this machine cannot have is skipped with its reason.
#
# usage: test-guests.sh [-m MODES] [FILE…]   MODES as in test/vm/suite.sh, default root,scope; FILE: below dist/test,
#        like integration/launch.test.js. VM_WORKDIR, GOVERNOR_TEST_BACKENDS, VM_… as in test/vm/suite.sh
set -eu
cd "$(dirname "$0")/.."
MODES=root,scope
if [ "${1-}" = -m ] && [ $# -ge 2 ]; then
  MODES=$2
  shift 2
fi
[ $# -gt 0 ] || set -- integration/launch.test.js integration/ladder.test.js long/ladder-cpu.test.js \
  long/tmpfs.test.js fault/stops-cgroup.test.js fault/restart.test.js integration/os-cgroup-kill.test.js \
  integration/os-cgroup-measure.test.js integration/os-cgroup-limits.test.js integration/os-cgroup-adopt.test.js \
  integration/os-cgroup-shared.test.js long/budgets.test.js \
  integration/os-cgroup-idle.test.js

skip() {
  echo "guest kernels: $1"
  echo '0 passed, 0 failed, 1 skipped'
  exit 0
}

[ "$(uname -sm)" = 'Linux x86_64' ] || skip "the guests are Linux on x86_64; this is $(uname -sm)"
PATH=$PATH:/usr/sbin:/sbin
for program in qemu-system-x86_64 busybox cpio flock mke2fs; do
  command -v "$program" >/dev/null 2>&1 ||
    skip "$program is missing (Debian: apt-get install qemu-system-x86 busybox-static cpio debootstrap e2fsprogs)"
done

sh scripts/prepare.sh
WORKDIR=${VM_WORKDIR:-${XDG_CACHE_HOME:-$HOME/.cache}/governor-vm}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# Ends with 0: it is there; 1: this machine cannot have it, and the last line of the log says why. Anything else is a fault
# of the build.
built() { # SCRIPT
  status=0
  sh "test/vm/$1" "$WORKDIR" >"$log" 2>&1 || status=$?
  cat "$log"
  [ $status -ne 0 ] || return 0
  [ $status -ne 99 ] || return 1
  echo "guest kernels: test/vm/$1 ended with status $status"
  echo '0 passed, 1 failed, 0 skipped'
  exit 1
}
built build.sh || skip "the guest cannot be built here: $(tail -n 1 "$log")"
systemd= others=
for mode in $(echo "$MODES" | tr , ' '); do
  case $mode in
    session | scope | delegated | service) systemd=$systemd,$mode ;;
    *) others=$others,$mode ;;
  esac
done
if [ -n "$systemd" ] && ! built build-systemd.sh; then
  VM_SKIPPED="${systemd#,}: the systemd guest cannot be built here: $(tail -n 1 "$log")"
  [ -n "$others" ] || skip "$VM_SKIPPED"
  MODES=${others#,}
  export VM_SKIPPED
fi

# In emulation a daemon takes 5 s to start. What is not cgroup v2 has been looked at on the host.
case ,$MODES, in
  *,cgroup1,*) ;;
  *) GOVERNOR_TEST_BACKENDS=${GOVERNOR_TEST_BACKENDS:-cgroup2,cgroup2-scope} ;;
esac
# Ends what hangs: on a machine that is busy with something else a file takes three times as long.
VM_FILE_TIMEOUT=${VM_FILE_TIMEOUT:-1200}
VM_TIMEOUT=${VM_TIMEOUT:-3600}
VM_PARALLEL=${VM_PARALLEL-1}
export VM_FILE_TIMEOUT VM_TIMEOUT VM_PARALLEL GOVERNOR_TEST_BACKENDS="${GOVERNOR_TEST_BACKENDS:-}" VM_WORKDIR="$WORKDIR"
count=$#
for file in "$@"; do set -- "$@" "dist/test/$file"; done
shift "$count"
rm -f "$log"
exec sh test/vm/suite.sh -m "$MODES" "$@"
