import t from 'tap';
import { GONE, measured, type Reading } from '../../../../lib/core/usage.ts';
import type { GroupMembers } from '../../../../lib/os/cgroup2/members.ts';
import type { MemoryPart } from '../../../../lib/os/cgroup2/parts.ts';
import { GroupUsage, type UsageSources } from '../../../../lib/os/cgroup2/usage.ts';
import type { TreeReader, TreeSample } from '../../../../lib/os/procfs/tree-reader.ts';

/** A group that holds what a test says, and keeps a list of what was read of it. */
class FakeGroup {
  pids: readonly number[] = [7];
  cpuMs = 10;
  memoryBytes = 100;
  near = false;
  fds = 20;
  tempStands = true;
  temp: Reading = measured(0, 'exact', 0);
  kills = 0;
  peakBytes = Number.NaN;
  tmpfsStands = true;
  /** The group above says that nobody has run, as of a millisecond ago. */
  allIdle = false;
  readonly read: string[] = [];
  readonly usage: GroupUsage;
  #listed: readonly number[] = [];
  #memoryRead = Number.NaN;
  #nearRead = false;

  /** @param isTasksCounted the group has the pids controller */
  constructor(isTasksCounted = true) {
    const { read } = this;
    const members = {
      changed: true,
      pids: (): readonly number[] => {
        read.push('members');
        members.changed = this.pids !== this.#listed;
        this.#listed = this.pids;
        return this.pids;
      },
      close: () => undefined,
    };
    const sample = (nowMs: number): TreeSample => {
      read.push('handles');
      const fileHandles = measured(this.fds, 'exact', nowMs);
      const none = measured(0, 'exact', nowMs);
      this.temp = this.temp.kind === 'measured' ? { ...this.temp, atMs: nowMs } : this.temp;
      return {
        alive: this.pids.length,
        fileHandles,
        sockets: none,
        tempStorage: this.temp,
        memory: none,
        cpuTimeMs: none,
        tasks: none,
      };
    };
    const tree = {
      sample: (_pids: readonly number[], nowMs: number) => sample(nowMs),
      keep: () => this.tmpfsStands,
      tempStands: () => {
        read.push('temp dir');
        return this.tempStands;
      },
      close: () => undefined,
    };
    const memory: Partial<MemoryPart> = {
      unreclaimableBytes: () => {
        read.push('memory');
        this.#memoryRead = this.memoryBytes;
        this.#nearRead = this.near;
        return this.memoryBytes;
      },
      stands: () => {
        read.push('total');
        return !this.near && this.#memoryRead === this.memoryBytes;
      },
      oomKills: () => {
        read.push('kills');
        return this.kills;
      },
      peakBytes: () => {
        read.push('peak');
        return this.peakBytes;
      },
      close: () => undefined,
    };
    Object.defineProperty(memory, 'isNearLimit', { get: () => this.#nearRead });
    const sources: UsageSources = {
      members: members as unknown as GroupMembers,
      tree: tree as unknown as TreeReader,
      memory: memory as MemoryPart,
      cpu: {
        usageMs: () => {
          read.push('cpu');
          return this.cpuMs;
        },
        usageBesideMs: () => {
          read.push('cpu beside');
          return this.cpuMs;
        },
        idleUntilMs: (nowMs: number) => (this.allIdle ? nowMs - 1 : Number.NaN),
        throttledMs: () => 0,
        quotaSupport: true,
        setQuota: () => Promise.resolve(),
        close: () => undefined,
      },
      tasks: isTasksCounted
        ? {
            current: () => {
              read.push('tasks');
              return this.pids.length;
            },
            apply: () => Promise.reject(new Error('not part of the test')),
            close: () => undefined,
          }
        : null,
      stall: null,
      tempOnTmpfs: false,
    };
    this.usage = new GroupUsage(sources);
  }

  /** What one sample read, and whether it said that nothing has changed. */
  at(nowMs: number, fresh = false): readonly [string, boolean] {
    this.read.length = 0;
    const { still } = this.usage.sample(nowMs, fresh);
    return [this.read.join(' '), still === true];
  }
}

const FULL = 'cpu members handles memory tasks';

/** Read once in full, and known to be idle. */
function idle(isTasksCounted = true): FakeGroup {
  const group = new FakeGroup(isTasksCounted);
  group.at(0);
  return group;
}

t.test('what was held at an OOM kill is asked of the kernel once, with the kill', async (t) => {
  const group = idle();
  group.near = true;
  group.cpuMs += 1;
  group.peakBytes = 150;
  t.same(group.at(1_000), ['cpu members handles memory kills tasks', false]);
  t.equal(group.usage.sample(1_000).memoryPeakBytes, undefined);
  group.cpuMs += 1;
  group.kills = 1;
  t.same(group.at(2_000), ['cpu members handles memory kills peak tasks', false]);
  t.equal(group.usage.sample(2_000).memoryPeakBytes, 150);
  group.cpuMs += 1;
  group.kills = 2;
  group.peakBytes = Number.NaN;
  t.equal(group.usage.sample(3_000).memoryPeakBytes, 150, 'the group may be gone by then');
});

t.test('of who has not run only the CPU time is read', async (t) => {
  const group = new FakeGroup();
  t.same(group.at(0), ['cpu members handles memory kills tasks', false]);
  t.same(group.at(1_000), ['cpu', true]);
  t.same(group.at(2_000), ['cpu', true]);
  const sample = group.usage.sample(2_500);
  t.match(sample, { memory: { value: 100, atMs: 2_500 }, tasks: { value: 1, atMs: 2_500 }, populated: true });
  group.cpuMs += 0.001;
  t.same(group.at(2_600), [FULL, false], 'a microsecond is enough');
  t.same(group.at(2_700, true)[0], FULL, 'asked for a fresh look');
});

t.test('CPU time asked for beside the samples is one read, and they still see that it ran', async (t) => {
  const group = idle();
  group.cpuMs += 5;
  group.read.length = 0;
  t.match(group.usage.cpuTimeMs(500), { kind: 'measured', value: group.cpuMs, atMs: 500 });
  t.same(group.read, ['cpu beside']);
  t.same(group.at(1_000), [FULL, false]);
  group.cpuMs = Number.NaN;
  t.same(group.usage.cpuTimeMs(1_500), { kind: 'gone' });
});

t.test('while nobody in any group has run, nothing of its own is read', async (t) => {
  const group = idle();
  group.allIdle = true;
  t.same(group.at(1_000), ['', true]);
  t.match(group.usage.sample(1_000), { atMs: 1_000, memory: { value: 100, atMs: 999 }, cpuTimeMs: { atMs: 999 } });
  t.same(group.at(3_000), ['tasks total temp dir', true], 'others may have done something to it');
  group.allIdle = false;
  t.same(group.at(4_000), ['cpu', true]);
  group.allIdle = true;
  t.same(group.at(5_000, true)[0], FULL, 'asked for a fresh look');
  group.pids = [7, 8];
  const all = 'tasks cpu members handles memory kills tasks';
  t.same(group.at(9_000), [all, false], 'a process was put into it');
});

t.test('what others may do to it is looked at every three seconds', async (t) => {
  const group = idle();
  t.same(group.at(2_999), ['cpu', true]);
  t.same(group.at(3_000), ['cpu tasks total temp dir', true]);
  t.same(group.at(5_999), ['cpu', true]);
  t.same(group.at(6_000), ['cpu tasks total temp dir', true]);
});

t.test('where the kernel does not count its tasks, its members are listed for that', async (t) => {
  const group = idle(false);
  t.same(group.at(3_000), ['cpu members total temp dir', true]);
  group.pids = [7, 8];
  t.same(group.at(6_000), ['cpu members members handles memory kills', false]);
});

t.test('whatever they did, everything is read', async (t) => {
  const table: readonly (readonly [string, (group: FakeGroup) => void, RegExp])[] = [
    ['a process was put into the group', (group) => (group.pids = [7, 8]), /tasks members handles memory kills/],
    ['memory was charged to it', (group) => (group.memoryBytes += 4096), /total members handles memory/],
    ['a file was put into its temp dir', (group) => (group.tempStands = false), /temp dir members handles memory/],
    ['it is near its limit', (group) => (group.near = true), /total members handles memory/],
  ];
  for (const [name, change, read] of table) {
    const group = idle();
    change(group);
    const [seen, still] = group.at(3_000);
    t.match(seen, read, name);
    t.notOk(still, name);
  }
  const group = idle();
  group.tmpfsStands = false;
  t.same(group.at(1_000), [FULL, false], 'a tmpfs, which is looked at each time');
});

t.test('near a limit on memory everything is read each time, whoever runs', async (t) => {
  const group = idle();
  group.allIdle = true;
  group.near = true;
  const near = 'cpu members handles memory kills tasks';
  t.same(group.at(3_000), ['tasks total cpu members handles memory kills tasks', false], 'others have charged to it');
  t.same(group.at(3_100), [near, false]);
  group.memoryBytes = 900;
  group.at(3_200);
  t.match(group.usage.sample(3_300), { memory: { value: 900, atMs: 3_300 } }, 'growth while nobody runs');
  group.near = false;
  t.same(group.at(3_400), [FULL, false]);
  t.same(group.at(3_500), ['', true], 'and not once it is over');
});

t.test('everything is read once a minute all the same', async (t) => {
  const group = idle();
  for (let second = 1; second < 60; second += 1) t.ok(group.at(second * 1_000)[1], `after ${second} s`);
  t.same(group.at(60_000), [FULL, false]);
  t.same(group.at(61_000), ['cpu', true]);
});

t.test('an old reading of the temp dir, or half of one, is not enough to be believed', async (t) => {
  const group = new FakeGroup();
  group.temp = measured(5, 'estimate', 0);
  group.at(0);
  t.same(group.at(1_000), [FULL, false]);
  group.temp = GONE;
  group.at(2_000);
  t.same(group.at(3_000), ['cpu', true], 'none at all cannot change');
});

t.test('a group that is empty is read each time', async (t) => {
  const group = new FakeGroup();
  group.pids = [];
  group.at(0);
  t.same(group.at(1_000), [FULL, false]);
});
