/** The words that are put in front of a command to run it in a PID namespace of its own. */

/**
 * What the namespace's first process runs, in POSIX sh. The tool is its child, because signals that the first process
 * does not handle do not reach it. It hands the tool its own stdin (a shell gives /dev/null to what it starts in the
 * background), passes signals on, also those that come early, reaps orphans while it waits, and ends with the tool's status; with it the kernel
 * ends whoever is left in the namespace.
 *
 * `$1` is `env` where its --default-signal works, or `-`: a shell makes background children ignore INT and QUIT.
 */
const INIT = `
signals=$1; shift;
early=;
pass() { if [ -n "$!" ]; then kill -$1 $! 2>/dev/null; else early="$early $1"; fi; };
for name in TERM INT HUP QUIT USR1 USR2; do trap "pass $name" $name; done;
exec 3<&0;
case $signals$1 in env*=*) signals=- ;; esac;
if [ "$signals" = env ]; then
  env --default-signal=INT,QUIT "$@" <&3 3<&- &
else
  "$@" <&3 3<&- &
fi;
tool=$!;
for name in $early; do kill -$name $tool 2>/dev/null; done;
exec 3<&- </dev/null;
while :; do
  wait $tool;
  status=$?;
  kill -0 $tool 2>/dev/null || exit $status;
done
`
  .trim()
  // The launcher takes one instruction a line.
  .replaceAll('\n', ' ');

/** What the probe found to work here. */
export interface Unshare {
  /** Not as root: the namespace needs a user namespace around it. */
  readonly user: boolean;
  /** A /proc of its own, without which `/proc/self` of the tool is dangling. */
  readonly mountProc: boolean;
  /** util-linux 2.39 and newer: a signal to unshare itself is passed on; older ones block TERM and INT. */
  readonly forwardSignals: boolean;
  /** coreutils 8.31 and newer. */
  readonly defaultSignal: boolean;
}

/** The command follows. Killing the process that this becomes kills everything in the namespace. */
export function unshareWords(unshare: Unshare): readonly string[] {
  return [...unshareOptions(unshare), '/bin/sh', '-c', INIT, 'governor-init', unshare.defaultSignal ? 'env' : '-'];
}

export function unshareOptions(unshare: Unshare): readonly string[] {
  return [
    'unshare',
    ...(unshare.user ? ['--user', '--map-current-user'] : []),
    '--pid',
    '--fork',
    '--kill-child',
    ...(unshare.forwardSignals ? ['--forward-signals'] : []),
    ...(unshare.mountProc ? ['--mount', '--mount-proc'] : []),
    '--',
  ];
}
