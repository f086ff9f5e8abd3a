/**
 * Which runs are suspected of leaking: fed with their samples and calls, it tells, and asks for a restart at a moment when
 * nothing is open with the process. Who serves the tool knows that moment. Costs a run seven kilobytes and some comparisons a sample.
 */

import type { Clock } from '../core/clock.ts';
import { wallOf } from '../core/clock.ts';
import { BINS } from '../core/floor-window.ts';
import { CallCounts, growthByCall } from '../core/leak-calls.ts';
import type { GrowthByCall } from '../core/leak-calls.ts';
import { LeakDetector } from '../core/leak.ts';
import type { LeakChange, Suspicion } from '../core/leak.ts';
import type { LeakResource } from '../core/leak-test.ts';
import { describeLeak } from '../core/leak-text.ts';
import { UNIT } from '../core/resource.ts';
import type { Recorder } from '../observe/recorder.ts';
import { iso } from './run-view.ts';
import type { Run } from './run.ts';
import type { LeakSuspicionView } from './views.ts';

export interface LeakWatchOptions {
  readonly clock: Clock;
  readonly recorder: Recorder;
  /** Between two samples of a calm run. */
  readonly cadenceMs: number;
}

export interface WatchedRun {
  readonly run: Run;
  readonly detector: LeakDetector;
  /** Null: no call has come that passes Governor. */
  calls: CallCounts | null;
}

/** A server whose caches fill up again after each start would be recycled for ever. */
const RECYCLED_MOST = 3;
const RECYCLED_WITHIN_MS = 24 * 3_600_000;

export class LeakWatch {
  readonly #options: LeakWatchOptions;
  /** By tool, when it was recycled lately. */
  readonly #recycledMs = new Map<string, readonly number[]>();
  readonly #runs = new Map<string, WatchedRun>();
  readonly #last = new Map<string, LeakSuspicionView>();

  constructor(options: LeakWatchOptions) {
    this.#options = options;
  }

  get cadenceMs(): number {
    return this.#options.cadenceMs;
  }

  onSample(run: Run): void {
    const { last } = run;
    // Of what runs elsewhere only the client is seen here.
    if (last === null || run.state !== 'running' || run.init.notGoverned !== null) return;
    const watched = this.#runs.get(run.id) ?? this.#watch(run);
    const changes = watched.detector.add(last);
    if (changes !== null) for (const change of changes) this.#changed(watched, change);
  }

  /** @param name for people; null: of no use for telling calls apart */
  onCall(runId: string, name: string): void {
    const watched = this.#runs.get(runId);
    if (watched === undefined) return;
    const nowMs = this.#options.clock.monotonicMs();
    if (watched.calls === null) watched.detector.firstUsed(nowMs);
    watched.calls ??= new CallCounts();
    watched.calls.add(watched.detector.binOf(nowMs), name);
  }

  /** What is known of a run; undefined before its first sample, and after its end. */
  of(runId: string): WatchedRun | undefined {
    return this.#runs.get(runId);
  }

  /** The latest suspicion of a tool that is none any more. */
  lastOf(tool: string): LeakSuspicionView | null {
    return this.#last.get(tool) ?? null;
  }

  view({ run, detector, calls }: WatchedRun, suspicion: Suspicion, endedAt: string | null = null): LeakSuspicionView {
    const { resource, sinceMs, from, to, rise } = suspicion;
    const byCall = growthOf(detector, calls, resource);
    return {
      run: run.id,
      resource,
      unit: UNIT[resource],
      since: iso(wallOf(this.#options.clock, sinceMs)),
      from,
      to,
      rise,
      byCall,
      summary: describeLeak(resource, suspicion, detector.settings.windowMs, byCall),
      suggestion: suggestionFor(run, this.#mayRecycle(run)),
      endedAt,
    };
  }

  forget(tool: string): void {
    this.#last.delete(tool);
    this.#recycledMs.delete(tool);
  }

  #watch(run: Run): WatchedRun {
    const watched: WatchedRun = {
      run,
      detector: new LeakDetector(run.init.startedMs, run.init.definition.leaks),
      calls: null,
    };
    this.#runs.set(run.id, watched);
    run.events.add({
      onEnding: ({ reason }) => {
        if (reason === 'leak') {
          for (const suspicion of watched.detector.suspicions) this.#record(watched, 'recycled', 'idle', suspicion);
          this.#recycledMs.set(run.tool, [...this.#recycledLately(run.tool), this.#options.clock.monotonicMs()]);
        }
        this.#ended(watched);
      },
      onEnded: () => this.#ended(watched),
    });
    return watched;
  }

  #changed(watched: WatchedRun, { kind, cause, suspicion }: LeakChange): void {
    const { run, detector } = watched;
    this.#record(watched, kind, cause, suspicion);
    if (kind === 'cleared') this.#keep(watched, suspicion);
    if (!this.#mayRecycle(run)) return;
    const [worst] = detector.suspicions;
    // As it is by then: which calls it grows by may only show later.
    run.recycle =
      worst === undefined
        ? null
        : () =>
            `recycled while nothing was open with it: ${this.view(watched, detector.suspicions[0] ?? worst).summary}`;
    run.events.recycle();
  }

  /** Only where somebody knows whether anything is open with it, and as long as it may help. */
  #mayRecycle({ init, calls, tool }: Run): boolean {
    const { leaks, dryRun } = init.definition;
    if (leaks.action !== 'recycle_when_idle' || dryRun || calls === null) return false;
    return this.#recycledLately(tool).length < RECYCLED_MOST;
  }

  #recycledLately(tool: string): readonly number[] {
    const sinceMs = this.#options.clock.monotonicMs() - RECYCLED_WITHIN_MS;
    return (this.#recycledMs.get(tool) ?? []).filter((atMs) => atMs > sinceMs);
  }

  #ended(watched: WatchedRun): void {
    const { run, detector } = watched;
    if (this.#runs.get(run.id) !== watched) return;
    for (const suspicion of detector.suspicions) {
      this.#record(watched, 'cleared', 'run ended', suspicion);
      this.#keep(watched, suspicion);
    }
    this.#runs.delete(run.id);
  }

  #keep(watched: WatchedRun, suspicion: Suspicion): void {
    this.#last.set(watched.run.tool, this.view(watched, suspicion, iso(this.#options.clock.wallMs())));
  }

  #record(watched: WatchedRun, event: 'suspected' | 'cleared' | 'recycled', cause: string, suspicion: Suspicion): void {
    const { run, detector } = watched;
    const { resource, from, to, rise, byCall, suggestion } = this.view(watched, suspicion);
    this.#options.recorder.record({
      kind: 'leak',
      tool: run.tool,
      run: run.id,
      resource,
      event,
      cause,
      from,
      to,
      rise,
      point: { cadenceMs: this.#options.cadenceMs, ...windowOf(detector) },
      byCall: byCall.map(({ name, perCall }) => ({ name, perCall })),
      suggestion,
      dryRun: run.init.definition.dryRun,
    });
  }
}

function windowOf({ settings }: LeakDetector): { readonly warmUpMs: number; readonly windowMs: number } {
  return { warmUpMs: settings.warmUpMs, windowMs: settings.windowMs };
}

function suggestionFor(run: Run, isRecycled: boolean): string {
  const { definition, mode } = run.init;
  const name = JSON.stringify(definition.name);
  if (mode === 'direct') return 'restart its client when that suits; a shorter life of the client hides the leak';
  if (isRecycled) return 'nothing to do: it is ended when nothing is open with it, and started with the next request';
  if (run.calls === null) return `restart it when that suits: governor restart ${name}`;
  if (definition.leaks.action === 'recycle_when_idle' && !definition.dryRun)
    return `it was recycled ${RECYCLED_MOST} times within a day and grows again: it may only fill its caches (then give it a longer leaks: { warm_up }), or is to be mended`;
  return `restart it when that suits (governor restart ${name}), or have that done: leaks: { action: recycle_when_idle }`;
}

function growthOf(detector: LeakDetector, calls: CallCounts | null, resource: LeakResource): readonly GrowthByCall[] {
  if (calls === null || calls.isEmpty) return [];
  const floors = detector.floors(resource).slice(-BINS);
  return growthByCall(floors, calls.of(detector.lastClosed, floors.length));
}
