/** The oracle's long look: what a tool truly uses, and which processes of it live, in a rhythm. */

import * as kernel from './kernel.ts';

/** The resources of which a decision can be judged; CPU as percent of one core over the last ten seconds. */
export interface Usage {
  readonly memory: number;
  readonly cpu: number;
  readonly file_handles: number;
  readonly sockets: number;
  readonly temp_storage: number;
  readonly tasks: number;
}

export interface Look {
  /** Milliseconds of the wall clock, as the records that are judged have them. */
  readonly atMs: number;
  readonly usage: Usage;
}

export interface Life extends kernel.Alive {
  readonly firstMs: number;
  readonly lastMs: number;
}

export interface Watched {
  readonly looks: readonly Look[];
  /** Every process that was ever seen, in order of birth. */
  readonly lives: readonly Life[];
  /** When the last look was, at whatever. */
  readonly atMs: number;
}

const CPU_WINDOW_MS = 10_000;
const TICKS_PER_SECOND = 100;

interface Tool {
  readonly looks: Look[];
  readonly lives: Map<string, { -readonly [Key in keyof Life]: Life[Key] }>;
  readonly ticks: { readonly atMs: number; readonly sum: number }[];
  tempDir: string | null;
}

export class Watch {
  readonly #tools = new Map<string, Tool>();
  /** Whose a process is, so that only new ones are read. */
  readonly #owner = new Map<string, string | null>();
  #timer: NodeJS.Timeout | null = null;
  #atMs = 0;

  add(markers: readonly string[], everyMs: number): void {
    for (const marker of markers) this.#tools.set(marker, { looks: [], lives: new Map(), ticks: [], tempDir: null });
    // Processes that were nobody's may be these tools'.
    this.#owner.clear();
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = setInterval(() => this.#look(), everyMs);
    this.#look();
  }

  of(marker: string): Watched {
    const tool = this.#tools.get(marker);
    if (tool === undefined) throw new Error('this tool is not watched');
    return { looks: tool.looks, lives: [...tool.lives.values()], atMs: this.#atMs };
  }

  forget(markers: readonly string[]): void {
    for (const marker of markers) this.#tools.delete(marker);
    if (this.#tools.size > 0 || this.#timer === null) return;
    clearInterval(this.#timer);
    this.#timer = null;
  }

  #look(): void {
    const atMs = Date.now();
    const members = new Map<string, kernel.Alive[]>([...this.#tools.keys()].map((marker) => [marker, []]));
    const seen = new Set<string>();
    for (const process of kernel.processes()) {
      const id = `${process.pid} ${process.startTicks}`;
      seen.add(id);
      let owner = this.#owner.get(id);
      if (owner === undefined) {
        owner = [...this.#tools.keys()].find((marker) => kernel.carries(process.pid, marker)) ?? null;
        // A process that was just born has its parent's words, and gets its own with exec: a stranger is asked again.
        if (owner !== null || isSettled(process)) this.#owner.set(id, owner);
      }
      if (owner !== null) members.get(owner)?.push(process);
    }
    for (const id of this.#owner.keys()) if (!seen.has(id)) this.#owner.delete(id);
    for (const [marker, tool] of this.#tools) this.#note(tool, members.get(marker) ?? [], atMs);
    // When it began: who was seen in it has that time too, however long it took on a busy host.
    this.#atMs = atMs;
  }

  #note(tool: Tool, members: readonly kernel.Alive[], atMs: number): void {
    for (const { pid, startTicks } of members) {
      const life = tool.lives.get(`${pid} ${startTicks}`);
      if (life === undefined) tool.lives.set(`${pid} ${startTicks}`, { pid, startTicks, firstMs: atMs, lastMs: atMs });
      else life.lastMs = atMs;
    }
    if (members.length > 0) tool.looks.push({ atMs, usage: usageOf(tool, members, atMs) });
  }
}

function usageOf(tool: Tool, members: readonly kernel.Alive[], atMs: number): Usage {
  const sockets = new Set<string>();
  let [memory, fileHandles, tasks, ticks] = [0, 0, 0, 0];
  for (const { pid } of members) {
    memory += kernel.unreclaimable(pid);
    tasks += kernel.threads(pid);
    ticks += kernel.cpuTicks(pid);
    for (const target of kernel.descriptors(pid)) {
      fileHandles += 1;
      if (target.startsWith('socket:')) sockets.add(target);
    }
    tool.tempDir ??= ownTempDir(pid);
  }
  tool.ticks.push({ atMs, sum: ticks });
  while ((tool.ticks[1]?.atMs ?? atMs) < atMs - CPU_WINDOW_MS) tool.ticks.shift();
  const first = tool.ticks[0];
  const seconds = first === undefined ? 0 : (atMs - first.atMs) / 1000;
  return {
    memory,
    cpu: first === undefined || seconds <= 0 ? 0 : (Math.max(0, ticks - first.sum) / TICKS_PER_SECOND / seconds) * 100,
    file_handles: fileHandles,
    sockets: sockets.size,
    temp_storage: tool.tempDir === null ? 0 : kernel.filesBelow(tool.tempDir).bytes,
    tasks,
  };
}

function ownTempDir(pid: number): string | null {
  const named = kernel.variable(pid, 'TMPDIR');
  return named !== null && named !== (process.env['TMPDIR'] ?? '/tmp') && kernel.exists(named) ? named : null;
}

/** Old enough to have become what it was started for. */
function isSettled({ startTicks }: kernel.Alive): boolean {
  return performance.timeOrigin + performance.now() - bootMs() - startTicks * (1000 / TICKS_PER_SECOND) > 2_000;
}

function bootMs(): number {
  return Date.now() - Number(process.hrtime.bigint() / 1_000_000n);
}
