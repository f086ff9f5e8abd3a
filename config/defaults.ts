/** What holds when nothing is written: classes scaled to the host, and the settings of the ladder. */

import { DEFAULT_LEAK_SETTINGS } from '../lib/core/leak.ts';
import type { LadderSettings } from '../lib/core/limits.ts';
import { formatBytes } from '../lib/core/format.ts';
import type { Resource } from '../lib/core/resource.ts';

export interface HostFacts {
  /** Memory that this host (or the container that the daemon is in) has, bytes. */
  readonly memoryBytes: number;
  /** CPU cores that may be used, ≥ 1. */
  readonly cores: number;
}

export interface BuiltInLimit {
  /** In the unit of the resource. */
  readonly limit: number;
  readonly inodes?: number;
  /** For people: how the number came about. */
  readonly detail: string;
}

/** Resources that are absent have no limit. */
export type BuiltInClass = Readonly<Partial<Record<Resource, BuiltInLimit>>>;

export const BUILT_IN_CLASSES = ['light', 'standard', 'heavy'] as const;
export type BuiltInClassName = (typeof BUILT_IN_CLASSES)[number];
export const DEFAULT_CLASS: BuiltInClassName = 'standard';

export function builtInClasses(host: HostFacts): Readonly<Record<BuiltInClassName, BuiltInClass>> {
  return {
    light: builtIn(host, { mostBytes: 256 * MIB, share: 32, leastBytes: 128 * MIB, cpu: 50, scale: 1 / 4 }),
    standard: builtIn(host, { mostBytes: GIB, share: 8, leastBytes: 256 * MIB, cpu: 100, scale: 1 }),
    heavy: builtIn(host, { mostBytes: 4 * GIB, share: 4, leastBytes: 512 * MIB, cpu: 200, scale: 4 }),
  };
}

export const DEFAULT_LADDER: LadderSettings = {
  exitMargin: 0.05,
  warning: { needed: 3, of: 5 },
  throttled: { needed: 3, of: 5 },
  cleanup: { needed: 2, of: 3 },
  escalateAfterMs: {
    memory: 30_000,
    cpu: null,
    file_handles: 30_000,
    sockets: 30_000,
    runtime: null,
    temp_storage: 30_000,
    tasks: 30_000,
  },
  stall: { share: 0.5, forMs: 2000 },
  quietMs: 15_000,
  staleAfterMs: 5000,
  fallingShare: 0.15,
  cpuWarmUpMs: 10_000,
  starvation: null,
};

/** `on_starvation: recycle`. */
export const STARVATION = { share: 0.5, forMs: 60_000 } as const;

export const DEFAULT_RECOVERY = {
  strategy: 'restart',
  budget: 5,
  windowMs: 600_000,
  stableForMs: 60_000,
  returnAfterMs: 600_000,
  fallback: true,
  degraded: null,
} as const;
export const DEFAULT_GRACE_MS = 5000;
export const DEFAULT_READY_TIMEOUT_MS = 30_000;
export const DEFAULT_SHARING = 'context';
export const DEFAULT_IDLE_TIMEOUT_MS = 600_000;
export const DEFAULT_HEALTH_CHECK_MS = 30_000;
/** Of each tool, and of all together. */
export const DEFAULT_POST_MORTEMS = { keep: 20, maxBytes: 64 * 1024 ** 2 } as const;
export const DEFAULT_CALLS = { queue: 100, waitMs: 30_000 } as const;

/** Where nothing is written, or nothing can be measured. */
export const UNSEEN_LEAKS = { ...DEFAULT_LEAK_SETTINGS, action: 'notify' } as const;

export const DEFAULT_CACHE = {
  ttlMs: 900_000,
  maxEntries: 100,
  maxEntriesBeforeRedis: 1_000,
  maxBytes: 100_000_000,
  sweepIntervalMs: 60_000,
  firstLevelTtlMs: 60_000,
  redisTimeoutMs: 250,
  redisPrefix: 'governor:cache',
} as const;

export const DEFAULT_HISTORY = {
  keepMs: { '1s': 600_000, '10s': 21_600_000, '1m': 14 * 86_400_000 },
  maxBytes: 1024 ** 3,
} as const;

const MIB = 1024 ** 2;
const GIB = 1024 ** 3;

interface Recipe {
  readonly mostBytes: number;
  /** Memory is the host's divided by this, within the two others. */
  readonly share: number;
  readonly leastBytes: number;
  readonly cpu: number;
  /** Everything that is counted or stored, relative to the standard class. */
  readonly scale: number;
}

function builtIn(host: HostFacts, recipe: Recipe): BuiltInClass {
  const { scale } = recipe;
  const fixed = 'the same on every host';
  return {
    memory: memoryOf(host, recipe),
    cpu: cpuOf(host, recipe.cpu),
    file_handles: { limit: 1024 * scale, detail: fixed },
    sockets: { limit: 256 * scale, detail: fixed },
    // One file per 8 KiB: more files than that are a leak of files rather than of bytes.
    temp_storage: { limit: GIB * scale, inodes: 131_072 * scale, detail: fixed },
    tasks: { limit: 1024 * scale, detail: fixed },
  };
}

function memoryOf({ memoryBytes }: HostFacts, { mostBytes, share, leastBytes }: Recipe): BuiltInLimit {
  const host = `host memory ${formatBytes(memoryBytes)}`;
  const part = wholeMib(memoryBytes / share);
  if (part >= mostBytes) return { limit: mostBytes, detail: `${host} / ${share}, at most ${formatBytes(mostBytes)}` };
  if (part >= leastBytes) return { limit: part, detail: `${host} / ${share}` };
  // On a tiny host no single tool gets more than half of it.
  if (leastBytes > memoryBytes / 2) return { limit: Math.max(MIB, wholeMib(memoryBytes / 2)), detail: `${host} / 2` };
  return { limit: leastBytes, detail: `${host} / ${share}, at least ${formatBytes(leastBytes)}` };
}

function cpuOf({ cores }: HostFacts, percent: number): BuiltInLimit {
  const all = cores * 100;
  if (percent <= all) return { limit: percent, detail: `${percent / 100} of ${cores} cores` };
  return { limit: all, detail: `all of ${cores} ${cores === 1 ? 'core' : 'cores'}` };
}

function wholeMib(bytes: number): number {
  return Math.floor(bytes / MIB) * MIB;
}
