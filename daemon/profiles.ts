/**
 * What each tool uses, remembered: fed by the samples, kept on disk, asked for recommendations, and looked at for what is
 * outside of a tool's own history. Nothing here acts on a run; limits that follow usage are in adaption.ts.
 */

import { ANOMALY_RULES, judgeAnomaly } from '../lib/core/anomaly.ts';
import type { Clock } from '../lib/core/clock.ts';
import type { AuditRecord } from '../lib/core/audit-record.ts';
import type { Resource } from '../lib/core/resource.ts';
import { newRunTrack, UsageProfile } from '../lib/core/usage-profile.ts';
import type { Bumped, RunTrack, Series } from '../lib/core/usage-profile.ts';
import { PROFILES_MAX, ProfileStore } from '../lib/observe/profile-store.ts';
import type { ProfileLog } from '../lib/observe/profile-store.ts';
import type { Run } from '../lib/supervisor/run.ts';
import type { EndView } from '../lib/supervisor/views.ts';

export interface ProfilesOptions {
  readonly directory: string;
  readonly clock: Clock;
  readonly log: ProfileLog;
  record(record: AuditRecord): void;
  /** Of a calm run, ms. */
  readonly sampleIntervalMs: number;
  /** What is remembered of its runtime is that of calls: one of a whole run is another thing. */
  isOfCalls(tool: string): boolean;
  /** It was read, a run of it was seen first, or was ended for lack of something: a limit may have to follow. */
  onNews(tool: string): void;
}

interface Entry {
  readonly tool: string;
  /** Null while it is read. */
  profile: UsageProfile | null;
  loaded: Promise<void>;
  isDirty: boolean;
  /** A run was ended for lack of something, or more was used than ever: not to be lost. */
  isNews: boolean;
  savedMs: number;
  savedObservedMs: number;
  readonly anomalyAtMs: Map<Resource, number>;
}

interface Followed {
  readonly entry: Entry;
  readonly track: RunTrack;
}

/** A tool that runs is written at most this often, and when it goes: what a daemon that is killed loses. */
const SAVE_EVERY_MS = 300_000;
/** Of what was observed before, or the latest: where nothing new was seen. */
const SAVE_SHARE = 0.05;
const SAVE_LATEST_MS = 3_600_000;
const LOOK_EVERY_MS = 60_000;
/** The kernel's peak counts whole pages, and is read a moment later: so near to its cap a run was at it. */
const AT_CAP = 0.95;

export class Profiles {
  readonly #options: ProfilesOptions;
  readonly #store: ProfileStore;
  readonly #entries = new Map<string, Entry>();
  readonly #runs = new WeakMap<Run, Followed>();
  readonly #gapMs: number;
  readonly #timer: NodeJS.Timeout;
  /** Whose sample it is, while one is looked at. */
  #current: Run | null = null;
  #isFull = false;

  constructor(options: ProfilesOptions) {
    this.#options = options;
    this.#gapMs = 3 * options.sampleIntervalMs;
    this.#store = new ProfileStore(options.directory, options.log);
    this.#timer = setInterval(() => void this.#saveDue(), LOOK_EVERY_MS).unref();
  }

  /** Makes no garbage but for a run's first sample. */
  onSample(run: Run): void {
    const { last } = run;
    // What only asks something elsewhere to run says nothing of that.
    if (last === null || last.stalled || run.init.notGoverned !== null) return;
    if (run.state !== 'running' && run.state !== 'starting') return;
    const followed = this.#runs.get(run) ?? this.#follow(run);
    if (followed === null || followed.entry.profile === null) return;
    const { entry, track } = followed;
    this.#current = run;
    entry.profile?.observe(last, track, run.calls !== null, this.#gapMs);
    this.#current = null;
    entry.isDirty = true;
    if (last.kernel.oomKills > 0) this.#noteOomKill(run, followed);
  }

  /** The tool is gone; what was learnt of it stays on disk. */
  onForgotten(tool: string): void {
    const entry = this.#entries.get(tool);
    if (entry === undefined) return;
    this.#entries.delete(tool);
    void entry.loaded.then(() => this.#save(entry));
  }

  /** What is known of the tool; null: nothing is. */
  async of(tool: string): Promise<UsageProfile | null> {
    const entry = this.#entries.get(tool);
    if (entry === undefined) return this.#store.read(tool);
    await entry.loaded;
    return entry.profile;
  }

  /** The same at once, where it is in memory. */
  known(tool: string): UsageProfile | null {
    return this.#entries.get(tool)?.profile ?? null;
  }

  /** To be in memory from now on, before its first sample. */
  prepare(tool: string): void {
    this.#enter(tool);
  }

  /** Everything that was learnt is on disk, or said to be not. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    for (const entry of this.#entries.values()) void this.#save(entry);
    await this.#store.settled();
  }

  #follow(run: Run): Followed | null {
    const entry = this.#enter(run.tool);
    if (entry === null) return null;
    const followed = { entry, track: newRunTrack() };
    this.#runs.set(run, followed);
    if (entry.profile !== null) this.#options.onNews(run.tool);
    run.events.add({ onEnded: (end) => this.#noteEnd(run, followed, end) });
    return followed;
  }

  #enter(tool: string): Entry | null {
    const known = this.#entries.get(tool);
    if (known !== undefined) return known;
    if (this.#entries.size >= PROFILES_MAX) {
      if (!this.#isFull)
        this.#options.log.warn({ most: PROFILES_MAX }, 'so many usage profiles are in memory: further tools get none');
      this.#isFull = true;
      return null;
    }
    const entry: Entry = {
      tool,
      profile: null,
      loaded: Promise.resolve(),
      isDirty: false,
      isNews: false,
      savedMs: this.#options.clock.monotonicMs(),
      savedObservedMs: 0,
      anomalyAtMs: new Map(),
    };
    this.#entries.set(tool, entry);
    entry.loaded = this.#store.read(tool).then((profile) => {
      entry.profile = profile ?? new UsageProfile();
      entry.savedObservedMs = entry.profile.observedMs;
      entry.profile.onNewHigh = (series, value, before) => this.#noteHigh(entry, series, value, before);
      this.#options.onNews(tool);
    });
    return entry;
  }

  #noteOomKill(run: Run, { entry, track }: Followed): void {
    if (track.isBumped || entry.profile === null) return;
    track.isBumped = true;
    const limit = run.enforced.memory;
    const capBytes = limit === null ? null : limit.limit * limit.thresholds.emergency;
    const peakBytes = run.last?.kernel.memoryPeakBytes;
    // At a cap that it shares it was not short of its own limit, unless it had come to that.
    if (run.sharedCaps.size > 0 && (capBytes ?? Infinity) * AT_CAP > (peakBytes ?? 0)) return;
    entry.profile.noteOomKill(capBytes, peakBytes);
    this.#options.onNews(entry.tool);
  }

  #noteEnd(run: Run, followed: Followed, end: EndView): void {
    const { profile, loaded } = followed.entry;
    if (profile === null) {
      void loaded.then(() => this.#noteEnd(run, followed, end));
      return;
    }
    const { reason, resource } = end;
    followed.entry.isDirty = true;
    followed.entry.isNews = true;
    if (reason === 'exited' && run.calls === null && !this.#options.isOfCalls(run.tool))
      profile.noteRuntime(followed.track.runtimeMs);
    if (reason === 'oom_kill') this.#noteOomKill(run, followed);
    // What a budget of several runs has ended was not short of its own limit.
    else if (
      reason === 'limit' &&
      resource !== undefined &&
      isBumped(resource) &&
      run.endRequest?.budget === undefined
    ) {
      // Where there was no reading, the limit is what is known.
      profile.bump(resource, run.endRequest?.breach?.usage ?? run.limits[resource]?.limit ?? 0);
      this.#options.onNews(followed.entry.tool);
    }
  }

  #noteHigh(entry: Entry, series: Series, value: number, before: number): void {
    entry.isNews = true;
    const rule = ANOMALY_RULES[series.name];
    const run = this.#current;
    if (rule === undefined || run === null || entry.profile === null) return;
    const nowMs = this.#options.clock.monotonicMs();
    const anomaly = judgeAnomaly({
      series: series.name,
      value,
      before,
      observedMs: entry.profile.observedMs,
      samples: series.samples,
      sinceLastMs: nowMs - (entry.anomalyAtMs.get(rule.resource) ?? -Infinity),
    });
    if (anomaly === null) return;
    const { resource, event, factor, detail } = anomaly;
    entry.anomalyAtMs.set(resource, nowMs);
    const { tool } = entry;
    this.#options.log.warn({ tool, run: run.id, resource }, `unusual: ${detail}`);
    const usage = anomaly.value;
    this.#options.record({ kind: 'anomaly', tool, run: run.id, resource, event, usage, before, factor, detail });
  }

  async #saveDue(): Promise<void> {
    const nowMs = this.#options.clock.monotonicMs();
    for (const entry of this.#entries.values()) if (isDue(entry, nowMs)) await this.#save(entry);
  }

  async #save(entry: Entry): Promise<void> {
    if (!entry.isDirty || entry.profile === null) return;
    entry.isDirty = false;
    entry.isNews = false;
    entry.savedObservedMs = entry.profile.observedMs;
    entry.savedMs = this.#options.clock.monotonicMs();
    if (!(await this.#store.write(entry.tool, entry.profile.state()))) {
      entry.isDirty = true;
      entry.isNews = true;
    }
  }
}

/** A tool that does what it always does adds so little that it need not be written as often. */
function isDue({ profile, isNews, savedMs, savedObservedMs }: Entry, nowMs: number): boolean {
  const sinceMs = nowMs - savedMs;
  if (profile === null || sinceMs < SAVE_EVERY_MS) return false;
  const isMuch = profile.observedMs - savedObservedMs >= savedObservedMs * SAVE_SHARE;
  return isNews || isMuch || sinceMs >= SAVE_LATEST_MS;
}

function isBumped(resource: Resource): resource is Bumped {
  return resource !== 'cpu' && resource !== 'runtime';
}
