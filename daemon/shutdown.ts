/**
 * One way to the end, whatever asked for it: SIGINT and `stop --all` end every run; SIGTERM leaves direct runs alive and
 * limited for the next daemon. A second signal takes the tools' time to be polite away, a third gives up at once.
 */

export type ShutdownMode = 'all' | 'managed';

export interface ShutdownOptions {
  /** Does the work; resolves when everything is closed. */
  close(mode: ShutdownMode): Promise<void>;
  hurry(): void;
  reload(): void;
  /** With a terminal, a hang-up means that the person has gone; without one it asks for a reload. */
  readonly terminal: boolean;
  onSignal(signal: NodeJS.Signals, count: number): void;
}

export interface Shutdown {
  /** Begins, or joins the one under way. */
  begin(mode: ShutdownMode): void;
  /** The exit code, once everything is closed. */
  readonly done: Promise<number>;
}

/** Everything has its own deadline below this one. */
const HARD_DEADLINE_MS = 120_000;

export function installShutdown(options: ShutdownOptions): Shutdown {
  let resolveDone: (code: number) => void = () => undefined;
  const done = new Promise<number>((resolve) => (resolveDone = resolve));
  let begun = false;
  let signals = 0;
  let deadline: NodeJS.Timeout | undefined;

  const finish = (code: number): void => {
    clearTimeout(deadline);
    for (const [signal, listener] of listeners) process.off(signal, listener);
    resolveDone(code);
  };
  const begin = (mode: ShutdownMode): void => {
    if (begun) return;
    begun = true;
    deadline = setTimeout(() => finish(1), HARD_DEADLINE_MS);
    options.close(mode).then(
      () => finish(0),
      () => finish(1),
    );
  };
  const onSignal = (signal: NodeJS.Signals, mode: ShutdownMode): void => {
    signals++;
    options.onSignal(signal, signals);
    if (signals === 1) begin(mode);
    else if (signals === 2) options.hurry();
    else finish(1);
  };
  const listeners: readonly (readonly [NodeJS.Signals, () => void])[] = [
    ['SIGINT', () => onSignal('SIGINT', 'all')],
    ['SIGTERM', () => onSignal('SIGTERM', 'managed')],
    ['SIGHUP', () => (options.terminal ? onSignal('SIGHUP', 'all') : options.reload())],
  ];
  for (const [signal, listener] of listeners) process.on(signal, listener);
  return { begin, done };
}
