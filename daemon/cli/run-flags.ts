/** The flags of `governor run`: the one list that parser, help and completion are made from. */

interface RunFlag {
  readonly flag: string;
  /** Shown in the help; null = the flag takes no value. */
  readonly value: string | null;
  readonly help: string;
}

export const RUN_FLAGS = [
  {
    flag: '--memory',
    value: 'SIZE',
    help: 'memory that cannot be reclaimed, of the whole tree: 256MiB, 1.5GiB, 500MB',
  },
  { flag: '--cpu', value: 'PERCENT', help: 'percent of one core: 50%, 200%' },
  { flag: '--file-handles', value: 'COUNT', help: 'open file descriptors' },
  { flag: '--sockets', value: 'COUNT', help: 'open sockets' },
  { flag: '--runtime', value: 'DURATION', help: 'time that the run may take: 30s, 5m, 1h30m' },
  { flag: '--temp-storage', value: 'SIZE', help: 'what may lie in the private TMPDIR' },
  { flag: '--tasks', value: 'COUNT', help: 'processes and threads' },
  {
    flag: '--class',
    value: 'NAME',
    help: 'class that gives the other limits: light, standard, heavy or one of limits.yaml',
  },
  { flag: '--name', value: 'NAME', help: 'name of the tool; by default made from the command' },
  { flag: '--tool', value: 'NAME', help: 'the same as --name' },
  { flag: '--context', value: 'ID', help: 'who the run is for; runs of one context can be ended together' },
  { flag: '--grace', value: 'DURATION', help: 'time to end by itself before it is killed' },
  { flag: '--detach', value: null, help: 'go on when the client that started it dies' },
  { flag: '--dry-run', value: null, help: 'decide and record, but never act on the tool' },
  { flag: '--config', value: 'FILE', help: 'limits.yaml for a daemon that has to be started' },
  { flag: '--state-dir', value: 'DIR', help: 'state directory of the daemon' },
  { flag: '--listen', value: 'ADDRESS', help: 'host:port for a daemon that has to be started' },
  { flag: '--json', value: null, help: 'failures of Governor as JSON' },
] as const satisfies readonly RunFlag[];

export type RunFlagName = (typeof RUN_FLAGS)[number]['flag'];

/** True for a flag that is written without `=` and so takes the next word. */
export function takesNextWord(word: string): boolean {
  return RUN_FLAGS.some(({ flag, value }) => flag === word && value !== null);
}

/** Whether this flag is among Governor's own words, whatever is wrong with the others: `run -- tool --json` asks the tool. */
export function hasRunFlag(words: readonly string[], flag: string): boolean {
  for (let index = 0; index < words.length; index += 1) {
    const word = words[index] ?? '';
    if (word === flag) return true;
    if (word === '--' || !word.startsWith('-')) return false;
    if (takesNextWord(word)) index += 1;
  }
  return false;
}
