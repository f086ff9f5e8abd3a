#!/bin/sh
# Runs every listed test file in every listed mode, one after the other, as plain Node programs. Becomes /job/run.sh.
# Emulation stands still now and then: up to two files a guest that are red are run once more, and the summary says so.
# /job/modes and /job/files hold one word a line, /job/seconds what one file may take. Prints TAP, and
# "VM_RESULT mode file status" after each file.
cd /job || exit 99
seconds=$(cat seconds)
export TAP_TIMEOUT=$seconds GOVERNOR_FIXTURE_BIN=/job/fixture-bin GOVERNOR_TEST_PATIENCE=8
if [ -n "$(cat backends)" ]; then
  GOVERNOR_TEST_BACKENDS=$(cat backends)
  export GOVERNOR_TEST_BACKENDS
fi
user_environment='XDG_RUNTIME_DIR=/run/user/1000 DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/1000/bus'

run_in() {
  mode=$1
  shift
  case $mode in
    root | cgroup1) "$@" ;;
    # root under systemd, in a service of its own with the controllers delegated
    service) systemd-run --quiet --pipe --wait --collect -p Delegate=yes --working-directory=/job \
      --setenv=TAP_TIMEOUT --setenv=GOVERNOR_FIXTURE_BIN --setenv=GOVERNOR_TEST_PATIENCE ${GOVERNOR_TEST_BACKENDS:+--setenv=GOVERNOR_TEST_BACKENDS} "$@" ;;
    # an ordinary user: in a login session, in a scope of the user manager, in a scope with delegated controllers
    session) su u -c "$user_environment exec $*" ;;
    scope) su u -c "$user_environment exec systemd-run --user --scope --quiet $*" ;;
    delegated) su u -c "$user_environment exec systemd-run --user --scope --quiet -p Delegate=yes $*" ;;
    *) echo "unknown mode $mode"; return 99 ;;
  esac
}

one() { # of the mode and the file that are next
  echo "# $mode: $file"
  began=$(cut -d. -f1 /proc/uptime)
  run_in "$mode" timeout $((seconds + 20)) node "$file" </dev/null
  status=$?
  echo "# took $(($(cut -d. -f1 /proc/uptime) - began)) s"
  echo "VM_RESULT $mode $file $status"
}

failed=0 again=2
if id u >/dev/null 2>&1; then chown -R u /job; fi
while read -r mode; do
  while read -r file; do
    one
    if [ $status != 0 ] && [ $again -gt 0 ]; then
      again=$((again - 1))
      one
    fi
    [ $status = 0 ] || failed=1
  done <files
done <modes
exit $failed
