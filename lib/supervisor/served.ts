/** Managed tools for whoever serves them to clients: the handle by which the room of MCP starts, watches and ends runs. */

import type { EndReason } from '../core/audit-record.ts';
import { GovernorError } from '../core/errors.ts';
import type { Stage } from '../core/ladder.ts';
import type { ToolDefinition } from './governor.ts';
import { heldBack } from './held-back.ts';
import type { HeldBack } from './held-back.ts';
import type { CallCancellation } from './open-calls.ts';
import type { Connection, ConnectPort } from './ports.ts';
import type { Registry } from './registry.ts';
import type { RunListener } from './run-events.ts';
import type { EndRequest, Run } from './run.ts';
import { beginCall } from './served-call.ts';
import type { ServedCall } from './served-call.ts';
import type { Tool } from './tool.ts';

/** One ready run: its process, its connection, and what happens to it. */
export interface ServedRun {
  readonly id: string;
  readonly tool: string;
  readonly definition: ToolDefinition;
  readonly connection: Connection;
  /** Whose it is; null: nobody's yet, or everybody's. */
  readonly context: string | null;
  readonly stage: Stage;
  /** What holds new calls back right now; null: nothing. Changes with its stages. */
  heldBack(): HeldBack | null;
  /** How many calls it works on at once; null: as many as come. */
  readonly callsAtOnce: number | null;
  /** How many may wait where they are held back, and how long; as the tool is defined now. */
  readonly queue: ToolDefinition['calls'];
  /**
   * A call goes to it, and is held to its runtime from now on.
   * @param label for people: `tools/call search`
   * @param onCancel told once, when the call is to be cancelled; then `checked` is awaited
   */
  beginCall(label: () => string, onCancel: (why: CallCancellation) => void): ServedCall;
  /** Why it ends, from the moment that its end has begun. */
  readonly ending: EndRequest | null;
  /** Why it is to be ended as soon as nothing is open with it; null: it is not. */
  readonly recycle: (() => string) | null;
  /** How its first process ended; `unknown` before, and where that is not known. */
  readonly exit: Run['exit'];
  /** CPU time of its whole tree until now, milliseconds, read from the kernel; null where that cannot be read. */
  readCpuTimeMs(): number | null;
  /** From when on its end lets another be demanded; null: not by itself, or it does not end. */
  retryAfterMs(): number | null;
  /** Told of an end also when that came before. Returns a disposer. */
  listen(listener: RunListener): () => void;
  /** From now on it belongs to a context, or (null) to all, and the next demand makes its end good. */
  take(context: string | null): void;
  /** Ordered, with the tool's grace. Resolves when it is proven ended or `unproven`. Never rejects. */
  stop(reason: EndReason, message: string): Promise<void>;
}

export interface DemandStart {
  readonly context: string | null;
  readonly connect: ConnectPort['connect'];
}

export interface ServedTool {
  readonly name: string;
  /** As it is now; a run keeps the one that it was started with. */
  readonly definition: ToolDefinition;
  /**
   * Resolves when it is ready.
   * @throws GovernorError breaker_open (with `retryAfterMs`), illegal_state, tool_unproven, launch_failed, command_not_found
   */
  start(request: DemandStart): Promise<ServedRun>;
  /** Resolves when no start is under way that nobody demanded, however that went. */
  spareComing(): Promise<void>;
}

export interface ServedTools {
  /** In the order of the file. */
  names(): readonly string[];
  has(name: string): boolean;
  /** @throws GovernorError unknown_tool, not_managed, shutting_down */
  find(name: string): ServedTool;
}

export function serveRegistry(registry: Registry): ServedTools {
  const served = new WeakMap<Tool, ServedTool>();
  return {
    names: () => [...registry.live.values()].filter(isServed).map(({ name }) => name),
    has(name) {
      const tool = registry.live.get(name);
      return tool !== undefined && isServed(tool);
    },
    find(name) {
      registry.refuseWhenClosing();
      const tool = registry.live.get(name);
      if (tool === undefined) throw new GovernorError('unknown_tool', `no tool is named ${name}`, { data: { name } });
      if (!isServed(tool)) throw new GovernorError('not_managed', whyNotServed(tool));
      const known = served.get(tool);
      if (known !== undefined) return known;
      const made = serveTool(tool, registry);
      served.set(tool, made);
      return made;
    },
  };
}

function isServed({ definition }: Tool): boolean {
  return definition.origin !== 'run' && definition.readiness === 'mcp';
}

function whyNotServed({ name, definition }: Tool): string {
  return definition.origin === 'run'
    ? `${name} is started by its client with governor run; its connection is the client's own`
    : `${name} has readiness: none: it is not known to speak MCP`;
}

function serveTool(tool: Tool, registry: Registry): ServedTool {
  return {
    name: tool.name,
    get definition() {
      return tool.definition;
    },
    spareComing: () => tool.spareStart,
    async start({ context, connect }) {
      registry.refuseWhenClosing();
      return serveRun(tool, await tool.start({ context, connect, onDemand: true }));
    },
  };
}

/** @param run managed and ready */
export function serveRun(tool: Tool, run: Run): ServedRun {
  const { connection } = run;
  if (connection === null) throw new GovernorError('internal', `run ${run.id} of ${tool.name} has no connection`);
  return {
    id: run.id,
    tool: tool.name,
    definition: run.init.definition,
    connection,
    get context() {
      return run.context;
    },
    get stage() {
      return run.overallStage();
    },
    heldBack: () => heldBack(run),
    get callsAtOnce() {
      return run.callsAtOnce;
    },
    get queue() {
      return tool.definition.calls;
    },
    beginCall: (label, onCancel) => beginCall(tool, run, label, onCancel),
    get ending() {
      return run.endRequest;
    },
    get recycle() {
      return run.recycle;
    },
    get exit() {
      return run.exit;
    },
    retryAfterMs() {
      const reason = run.endRequest?.reason;
      const { livedMs, endsTool, isCounted } = run;
      return reason === undefined ? null : tool.recovery.retryAfterMs({ reason, livedMs, endsTool }, isCounted);
    },
    readCpuTimeMs: () => run.readCpuTimeMs(),
    listen(listener) {
      if (run.endRequest !== null) listener.onEnding?.(run.endRequest);
      if (run.end !== null) listener.onEnded?.(run.end);
      return run.end === null ? run.events.add(listener) : () => undefined;
    },
    take(context) {
      run.context = context;
      run.onDemand = true;
    },
    async stop(reason, message) {
      // It may have ended by itself meanwhile.
      if (tool.runs.has(run.id)) await tool.stop(reason, message, run.id);
    },
  };
}
