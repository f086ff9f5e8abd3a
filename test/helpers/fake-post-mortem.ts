/** A post-mortem as the supervisor makes it. */

import type { PostMortem } from '../../lib/supervisor/post-mortem-view.ts';
import { AT, FAKE_RECOVERY } from './fake-views.ts';

export function fakePostMortem(overrides: Partial<PostMortem> = {}): PostMortem {
  return {
    version: 1,
    id: 'failedrun1',
    tool: 'echo',
    at: AT,
    startedAt: '2026-01-31T11:58:00.000Z',
    livedMs: 120_000,
    mode: 'managed',
    context: 'chat',
    backend: 'cgroup2',
    command: ['node', 'server.js', '--token=***'],
    class: 'standard',
    end: {
      reason: 'limit',
      message: 'stopped: memory 300 MiB is 117 % of its limit of 256 MiB, stage cleanup',
      resource: 'memory',
      exit: { signal: 'SIGTERM' },
      cleanup: {
        proven: true,
        held: { processes: 2 },
        reclaimed: { processes: 2 },
        left: {},
        steps: [{ label: '2 process', outcome: 'ok', durationMs: 1.5 }],
        durationMs: 12,
        graceMs: 300,
      },
    },
    snapshot: {
      at: AT,
      tookMs: 1.25,
      usage: [
        {
          resource: 'memory',
          unit: 'bytes',
          usage: 314_572_800,
          limit: 268_435_456,
          ratio: 1.17,
          stage: 'cleanup',
          quality: 'cgroup',
          enforcement: 'kernel',
          at: AT,
        },
      ],
      processes: [
        { ...PROCESS, pid: 20, ppid: 10, name: 'worker' },
        { ...PROCESS, pid: 10, ppid: 1, name: 'node' },
      ],
      files: { file: 3, pipe: 4, socket: 1 },
      sockets: { 'tcp ESTABLISHED': 1 },
      omitted: [],
    },
    limits: [
      {
        resource: 'memory',
        unit: 'bytes',
        limit: 268_435_456,
        thresholds: { warning: 0.75, throttled: 0.9, cleanup: 1, emergency: 1.5 },
        actions: { warning: ['notify'], throttled: ['notify'], cleanup: ['recycle'], emergency: ['kill'] },
        source: { from: 'class', detail: 'class standard' },
        reason: 'two weeks of p99',
        enforcement: 'kernel',
      },
    ],
    decisions: [
      {
        at: AT,
        kind: 'enter',
        resource: 'memory',
        from: 'throttled',
        to: 'cleanup',
        cause: 'samples',
        usage: 314_572_800,
        limit: 268_435_456,
        ratio: 1.17,
      },
    ],
    logs: ['cache: 900,000 entries'],
    recovery: FAKE_RECOVERY,
    ...overrides,
  };
}

const PROCESS = {
  state: 'S',
  memoryBytes: 157_286_400,
  cpuTimeMs: 1_200,
  fileHandles: 8,
  sockets: 1,
  threads: 7,
} as const;
