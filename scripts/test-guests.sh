#!/bin/sh
# `npm run test:guests`: launch, ladder, stops and cgroup suites in guest kernels, where cgroup v2 has its controllers: as
# root, and as a user whose systemd gives each run a scope. Ends with `N passed, N failed, N skipped`.
# Builds the guests when they are missing (Debian: root, apt; a few minutes, once). Takes 10 to 25 minutes on two cores.
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
[ $# -gt 0 ] || set -- integration/launch.test.js integration/ladder.test.js integration/ladder-cpu.test.js \
  fault/stops-cgroup.test.js integration/os-cgroup-kill.test.js integration/os-cgroup-measure.test.js \
  integration/os-cgroup-limits.test.js integration/os-cgroup-adopt.test.js

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
built() { # SCRIPT
  sh "test/vm/$1" "$WORKDIR" >"$log" 2>&1 || skip "the guest cannot be built here: $(tail -n 1 "$log")"
  cat "$log"
}
built build.sh
case ,$MODES, in
  *,session,* | *,scope,* | *,delegated,* | *,service,*) built build-systemd.sh ;;
esac

# In emulation a daemon takes 10 s to start. What is not cgroup v2 has been looked at on the host.
case ,$MODES, in
  *,cgroup1,*) ;;
  *) GOVERNOR_TEST_BACKENDS=${GOVERNOR_TEST_BACKENDS:-cgroup2,cgroup2-scope} ;;
esac
VM_FILE_TIMEOUT=${VM_FILE_TIMEOUT:-600}
VM_TIMEOUT=${VM_TIMEOUT:-1500}
export VM_FILE_TIMEOUT VM_TIMEOUT GOVERNOR_TEST_BACKENDS="${GOVERNOR_TEST_BACKENDS:-}" VM_WORKDIR="$WORKDIR"
count=$#
for file in "$@"; do set -- "$@" "dist/test/$file"; done
shift "$count"
rm -f "$log"
exec sh test/vm/suite.sh -m "$MODES" "$@"
