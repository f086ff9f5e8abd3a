/**
 * The one sampling loop. It looks at each run when that run is due, says what the policy decided, and notices ends: an
 * empty tree, a leader that is gone, a client that died. It acts on nothing itself.
 */

import type { Clock } from '../core/clock.ts';
import type { ProcessIdentity } from '../core/identity.ts';
import type { Approach } from '../core/cadence.ts';
import { nextSampleInMs } from '../core/cadence.ts';
import { THRESHOLD_STAGES, rank } from '../core/ladder.ts';
import type { Decision } from '../core/policy.ts';
import { ratioOf } from '../core/limits.ts';
import type { Resource } from '../core/resource.ts';
import { RESOURCES } from '../core/resource.ts';
import type { ProcessFacts } from '../process/facts.ts';
import { ClientTable } from './client-table.ts';
import type { Run } from './run.ts';

export type Finding =
  | { readonly kind: 'decisions'; readonly decisions: readonly Decision[] }
  /** No process is left. */
  | { readonly kind: 'empty' }
  /** The process that the client knows has ended; others of its tree still run. */
  | { readonly kind: 'leader_gone' }
  | { readonly kind: 'client_gone'; readonly client: ProcessIdentity }
  | { readonly kind: 'failed'; readonly error: unknown };

export interface MonitorOptions {
  readonly clock: Clock;
  readonly facts: ProcessFacts;
  readonly baseMs: number;
  onFinding(run: Run, finding: Finding): void;
  onSample(run: Run): void;
  /** Duration of one pass over all due runs. */
  onPass(durationMs: number, runs: number): void;
}

interface Watched {
  readonly run: Run;
  dueMs: number;
  stopWatching: () => void;
  /** Written over at each sample. */
  readonly lastRatios: Map<Resource, { ratio: number; atMs: number }>;
  /** Its last sample at which it had not run: nothing can have grown before. Monotonic ms. */
  stillAtMs: number;
  /** It was due no sooner than a calm run when that was last worked out. */
  calm: boolean;
  endSeen: boolean;
}

/** Runs due within this time of each other are sampled together: fewer wake-ups. */
const COALESCE_MS = 20;
/** A pass this late was held up by something else; its samples are not acted on. */
const STALL_MS = 1_500;
const CLIENT_CHECK_MS = 500;

export class Monitor {
  readonly #options: MonitorOptions;
  readonly #watched = new Map<string, Watched>();
  readonly #clients = new ClientTable();
  #timer: NodeJS.Timeout | null = null;
  #timerDueMs = Infinity;
  #clientsCheckedMs = -Infinity;
  #closed = false;

  constructor(options: MonitorOptions) {
    this.#options = options;
  }

  /** Starts to watch; the first sample is taken soon. */
  add(run: Run): void {
    const watched: Watched = {
      run,
      dueMs: this.#now() + 20,
      stopWatching: () => undefined,
      lastRatios: new Map(),
      stillAtMs: -Infinity,
      calm: false,
      endSeen: false,
    };
    watched.stopWatching = run.init.containment.watch(() => this.poke(run.id));
    this.#watched.set(run.id, watched);
    this.#clients.add(run);
    this.#arm();
  }

  remove(runId: string): void {
    const watched = this.#watched.get(runId);
    if (watched === undefined) return;
    watched.stopWatching();
    this.#watched.delete(runId);
    this.#clients.remove(watched.run);
  }

  /** Something happened: look now, or at the latest in so many milliseconds. */
  poke(runId: string, withinMs = 0): void {
    const watched = this.#watched.get(runId);
    if (watched === undefined) return;
    watched.dueMs = Math.min(watched.dueMs, this.#now() + withinMs);
    this.#arm();
  }

  /** All that are looked at. */
  *runs(): Iterable<Run> {
    for (const { run } of this.#watched.values()) yield run;
  }

  close(): void {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    for (const runId of this.#watched.keys()) this.remove(runId);
  }

  #now(): number {
    return this.#options.clock.monotonicMs();
  }

  #arm(): void {
    if (this.#closed) return;
    let dueMs = Infinity;
    for (const watched of this.#watched.values()) dueMs = Math.min(dueMs, watched.dueMs);
    if (dueMs === Infinity || (this.#timer !== null && this.#timerDueMs <= dueMs)) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timerDueMs = dueMs;
    this.#timer = setTimeout(() => this.#pass(), Math.max(0, dueMs - this.#now()));
  }

  #pass(): void {
    const startedMs = this.#now();
    const stalled = startedMs - this.#timerDueMs > STALL_MS;
    this.#timer = null;
    this.#timerDueMs = Infinity;
    let sampled = 0;
    for (const watched of this.#watched.values()) {
      if (watched.dueMs > startedMs + COALESCE_MS) continue;
      this.#look(watched, stalled);
      sampled++;
    }
    if (startedMs - this.#clientsCheckedMs >= CLIENT_CHECK_MS) this.#checkClients(startedMs);
    this.#options.onPass(this.#now() - startedMs, sampled);
    this.#arm();
  }

  #look(watched: Watched, stalled: boolean): void {
    const { run } = watched;
    try {
      const { populated, still, steady, decisions } = run.judge.observe(stalled);
      this.#told(run);
      if (decisions.length > 0) this.#tell(run, populated, decisions);
      if (still) watched.stillAtMs = run.last?.atMs ?? watched.stillAtMs;
      else if (!watched.endSeen && run.state === 'running') this.#noticeEnd(watched, populated);
      if (steady && watched.calm) {
        watched.dueMs = this.#nextTogether();
        return;
      }
    } catch (error) {
      this.#options.onFinding(run, { kind: 'failed', error });
    }
    const intervalMs = this.#interval(watched);
    watched.calm = intervalMs >= this.#options.baseMs;
    watched.dueMs = watched.calm ? this.#nextTogether() : this.#now() + intervalMs;
  }

  /** Who only looks on keeps nothing from being acted on. */
  #told(run: Run): void {
    try {
      this.#options.onSample(run);
    } catch (error) {
      this.#options.onFinding(run, { kind: 'failed', error });
    }
  }

  #tell(run: Run, populated: boolean, decisions: readonly Decision[]): void {
    const lives = populated && (run.state === 'running' || run.state === 'starting');
    // What ends uses less and less: that is no recovery.
    const told = lives ? decisions : decisions.filter(({ kind }) => kind !== 'leave');
    if (told.length > 0) this.#options.onFinding(run, { kind: 'decisions', decisions: told });
  }

  /** Calm runs are due at the same instants, so that the daemon wakes once for all of them. */
  #nextTogether(): number {
    const { baseMs } = this.#options;
    return (Math.floor(this.#now() / baseMs) + 1) * baseMs;
  }

  #noticeEnd(watched: Watched, populated: boolean): void {
    const { run } = watched;
    // Of one that runs elsewhere its conversation tells.
    if (run.leader === null && populated) return;
    const leaderLives = run.leader !== null && this.#options.facts.alive(run.leader);
    if (leaderLives) return;
    // A detached tool may put itself into the background: it ends when its tree does.
    if (populated && run.init.detached) return;
    watched.endSeen = true;
    // Once more: the kernel may have killed it between the sample and this look at its leader.
    const again = run.judge.oomKilled ? null : run.judge.observe(false);
    if (again !== null) this.#tell(run, again.populated, again.decisions);
    this.#options.onFinding(run, { kind: (again?.populated ?? populated) ? 'leader_gone' : 'empty' });
  }

  #checkClients(nowMs: number): void {
    this.#clientsCheckedMs = nowMs;
    const { facts, onFinding } = this.#options;
    for (const [run, client] of this.#clients.orphans((identity) => facts.alive(identity)))
      onFinding(run, { kind: 'client_gone', client });
  }

  #interval(watched: Watched): number {
    const { run } = watched;
    return nextSampleInMs({
      baseMs: this.#options.baseMs,
      ageMs: this.#now() - run.init.startedMs,
      stage: run.judge.sampledStage,
      approaches: run.last?.atMs === watched.stillAtMs ? NO_APPROACHES : approaches(watched),
      uncappedMemory: uncappedMemory(run),
      untilRuntimeStageMs: untilRuntimeStage(run, this.#now()),
    });
  }
}

const NO_APPROACHES: readonly Approach[] = [];

/** Growth of each limited resource since the sample before. */
function approaches(watched: Watched): readonly Approach[] {
  const { run, lastRatios } = watched;
  const found: Approach[] = [];
  for (const resource of RESOURCES) {
    const limit = run.limits[resource];
    const reading = run.last?.readings[resource];
    // A rate has no headroom that is used up, and the deadline of a runtime is known exactly.
    if (limit === null || reading?.kind !== 'measured' || resource === 'cpu' || resource === 'runtime') continue;
    const ratio = ratioOf(reading, limit);
    const last = lastRatios.get(resource);
    if (last === undefined) {
      lastRatios.set(resource, { ratio, atMs: reading.atMs });
      continue;
    }
    const [grown, elapsedMs] = [ratio - last.ratio, reading.atMs - Math.max(last.atMs, watched.stillAtMs)];
    last.ratio = ratio;
    last.atMs = reading.atMs;
    if (elapsedMs <= 0 || grown <= 0) continue;
    found.push({ ratio, growthPerMs: grown / elapsedMs, emergency: limit.thresholds.emergency });
  }
  return found;
}

function uncappedMemory(run: Run): { usageBytes: number; limitBytes: number } | null {
  const limit = run.limits.memory;
  const reading = run.last?.readings.memory;
  if (limit === null || reading?.kind !== 'measured') return null;
  for (const { resource, enforcement } of run.outcomes)
    if (resource === 'memory' && enforcement === 'kernel') return null;
  return { usageBytes: reading.value, limitBytes: limit.limit };
}

function untilRuntimeStage(run: Run, nowMs: number): number | null {
  const limit = run.limits.runtime;
  if (run.calls !== null) return run.calls.untilNextStageMs(limit, nowMs);
  const reading = run.last?.readings.runtime;
  if (limit === null || reading?.kind !== 'measured') return null;
  const current = rank(run.stage('runtime'));
  const next = THRESHOLD_STAGES.find((stage) => rank(stage) > current);
  return next === undefined ? null : Math.max(0, limit.limit * limit.thresholds[next] - reading.value);
}
