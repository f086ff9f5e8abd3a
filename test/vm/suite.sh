#!/bin/sh
# Runs compiled test files in guest kernels with pure cgroup v2: as root, and as an ordinary user under systemd.
# Prints TAP, a summary for each mode and file (summary.mjs), and ends with "N passed, N failed, N skipped".
#
# usage: suite.sh [-m MODES] [-b BUILD] [-p PACKAGE]… FILE…
#   -m  comma-separated modes, default root,scope. In the small guest: root; cgroup1 (pure v1). In the systemd guest:
#       session, scope, delegated (user u), service (root)
#   -b  output directory of the compiler, default dist
#   -p  a further package of node_modules to take along
#   FILE like dist/test/integration/launch.test.js, from the project's directory, below BUILD; in the guests BUILD is dist
# GOVERNOR_TEST_BACKENDS holds there too. VM_WORKDIR: where kernels and images are kept, default ~/.cache/governor-vm.
# VM_FILE_TIMEOUT: seconds for one file, 280. VM_PARALLEL: if set, all guests at once, each shown in full when it has
# ended. The rest as in run.sh; VM_TIMEOUT is what one guest may take for all of its files and modes. VM_SKIPPED: why
# something that was asked for is left out, for the summary.
set -eu
HERE=$(cd "$(dirname "$0")" && pwd)
. "$HERE/common.sh"
cd "$HERE/../.."
MODES=root,scope
BUILD=dist
PACKAGES=
while getopts m:b:p: option; do
  case $option in
    m) MODES=$OPTARG ;;
    b) BUILD=$OPTARG ;;
    p) PACKAGES="$PACKAGES $OPTARG" ;;
    *) fail "usage: suite.sh [-m MODES] [-b BUILD] [-p PACKAGE]… FILE…" ;;
  esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || fail "no test file given"
for file in "$@"; do [ -f "$file" ] || fail "$file is missing: build first"; done
WORKDIR=$(work_directory "${VM_WORKDIR:-}")

small= version1= systemd=
for mode in $(echo "$MODES" | tr , ' '); do
  case $mode in
    root) small="$small $mode" ;;
    cgroup1) version1="$version1 $mode" ;;
    session | scope | delegated | service) systemd="$systemd $mode" ;;
    *) fail "unknown mode $mode: root, cgroup1, session, scope, delegated or service" ;;
  esac
done

job=$(mktemp -d)
trap 'rm -rf "$job"' EXIT
# Guests in the background do not hear of a Ctrl-C.
trap 'echo "suite.sh: interrupted" >&2; cat "$job"/*.pid 2>/dev/null | xargs -r kill; exit 130' INT TERM
# shellcheck disable=SC2086 # package names hold no blanks
node "$HERE/pack.mjs" "$job/job" "$BUILD" $PACKAGES
cp "$HERE/guest/job.sh" "$job/job/run.sh"
for file in "$@"; do echo "dist/${file#"${BUILD%/}/"}"; done >"$job/job/files"
echo "${VM_FILE_TIMEOUT:-280}" >"$job/job/seconds"
echo "${GOVERNOR_TEST_BACKENDS:-}" >"$job/job/backends"
mkdir -p "$job/job/fixture-bin"
# No compiler in the guests: the C fixtures are built here.
if [ -f "$BUILD/test/helpers/compile.js" ]; then
  GOVERNOR_FIXTURE_BIN="$job/job/fixture-bin" node "$HERE/precompile.mjs" "$BUILD"
fi
echo "# job: $(du -sm "$job/job" | cut -f1) MB"

# Needs MODE arguments to do anything.
run_guest() { # KIND KERNEL_ARGUMENTS [MODE…]
  guest=$1
  kernel_arguments=$2
  shift 2
  [ $# -gt 0 ] || return 0
  count=$((count + 1))
  mkdir "$job/$count"
  cp -a "$job/job" "$job/$count/job"
  printf '%s\n' "$@" >"$job/$count/job/modes"
  if [ -n "${VM_PARALLEL:-}" ]; then
    boot_guest 2>&1 | tee "$job/$count.log" | sed -un 's/^VM_RESULT \(.*\) \(.*\) \(.*\)/# \1: \2 ended with status \3/p' &
  else
    boot_guest 2>&1 | tee "$job/$count.log"
  fi
}

# How it went is read from what it says.
boot_guest() {
  VM_PID_FILE="$job/$count.pid" VM_KERNEL_ARGS="$kernel_arguments ${VM_KERNEL_ARGS:-}" \
    "$HERE/run.sh" "$WORKDIR" "$job/$count/job" "$guest" || true
}

count=0
"$HERE/build.sh" "$WORKDIR"
[ -z "$systemd" ] || "$HERE/build-systemd.sh" "$WORKDIR"
# shellcheck disable=SC2086 # modes are words
{
  run_guest root '' $small
  run_guest root governor_cgroup1 $version1
  run_guest systemd '' $systemd
}
if [ -n "${VM_PARALLEL:-}" ]; then
  wait
  for number in $(seq "$count"); do cat "$job/$number.log"; done
fi
for number in $(seq "$count"); do cat "$job/$number.log"; done >"$job/log"
# shellcheck disable=SC2086
printf '%s\n' $small $version1 $systemd >"$job/modes"
echo "# summary"
node "$HERE/summary.mjs" "$job/log" "$job/modes" "$job/job/files"
