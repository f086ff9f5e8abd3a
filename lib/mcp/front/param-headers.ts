/**
 * `Mcp-Param-…`: arguments of a tool that its server wants mirrored in headers (`x-mcp-header` in the tool's input schema). Who reads
 * the body has to compare them (2026-07-28, basic/transports/streamable-http). The declarations are learnt from the server's own list.
 */

import type { Fields, RpcError } from '../wire/message.ts';
import { META } from '../wire/protocol.ts';
import type { Session } from '../wire/session.ts';
import { decodeHeader, mismatch, quote } from './modern-check.ts';
import { argumentAt, mirrorText, paramDeclarations } from '../wire/param-declarations.ts';
import type { ParamDeclaration } from '../wire/param-declarations.ts';
import { failure } from '../wire/text.ts';

type Declarations = ReadonlyMap<string, readonly ParamDeclaration[]>;
type Headers = Readonly<Record<string, string | string[] | undefined>>;

/** More pages of tools than any server has: one that never ends its list is not followed for ever. */
const MAX_PAGES = 100;
const LIST_TIMEOUT_MS = 10_000;

export class ParamHeaders {
  readonly #holdMs: number;
  readonly #now: () => number;
  #known: Declarations | null = null;
  #knownMs = 0;
  #loading: Promise<Declarations> | null = null;

  constructor(holdMs: number, now: () => number) {
    this.#holdMs = holdMs;
    this.#now = now;
  }

  /** The list changed. */
  forget(): void {
    this.#known = null;
  }

  /** The server's list went by: no need to ask for it. Only a whole one tells which tools declare nothing. */
  learn(result: Fields): void {
    if (result['nextCursor'] !== undefined) return;
    this.#known = paramDeclarations(result['tools']);
    this.#knownMs = this.#now();
  }

  /**
   * @returns at once where the declarations are known; else after the server was asked. null: all fit, or the server has none
   * @param meta of the request, which is asked in its name
   */
  check(session: Session, headers: Headers, params: Fields, meta: Fields): RpcError | null | Promise<RpcError | null> {
    const { name } = params;
    if (typeof name !== 'string') return null;
    const known = this.#known;
    if (known === null || this.#now() - this.#knownMs > this.#holdMs) {
      return this.#load(session, meta).then((declared) => compare(declared.get(name), headers, params['arguments']));
    }
    const problem = compare(known.get(name), headers, params['arguments']);
    if (problem === null) return null;
    // Perhaps the server declares something else by now: that is asked before anybody is refused.
    return this.#load(session, meta).then((declared) => compare(declared.get(name), headers, params['arguments']));
  }

  #load(session: Session, meta: Fields): Promise<Declarations> {
    this.#loading ??= loadDeclarations(session, meta).then((declared) => {
      this.#known = declared;
      this.#knownMs = this.#now();
      this.#loading = null;
      return declared;
    });
    return this.#loading;
  }
}

async function loadDeclarations(session: Session, meta: Fields): Promise<Declarations> {
  const declared = new Map<string, readonly ParamDeclaration[]>();
  // Whoever asked may go: others wait for the same list. A server that never answers is not waited for either.
  const signal = AbortSignal.timeout(LIST_TIMEOUT_MS);
  const late = new Promise<null>((resolve) => signal.addEventListener('abort', () => resolve(null)));
  const exchange = {
    signal,
    notify: () => undefined,
    ask: () => Promise.resolve(failure(-32601, 'Nobody can be asked here')),
  };
  const own = Object.fromEntries(
    [META.protocolVersion, META.clientInfo, META.clientCapabilities].flatMap((key) =>
      meta[key] === undefined ? [] : [[key, meta[key]]],
    ),
  );
  let cursor: unknown;
  for (let page = 0; page < MAX_PAGES; page += 1) {
    const params = cursor === undefined ? { _meta: own } : { _meta: own, cursor };
    const answer = await Promise.race([session.request({ method: 'tools/list', params }, exchange), late]);
    // A server without tools declares nothing.
    if (answer === null || answer.kind === 'error') break;
    for (const [tool, found] of paramDeclarations(answer.result['tools'])) declared.set(tool, found);
    cursor = answer.result['nextCursor'];
    if (cursor === undefined) break;
  }
  return declared;
}

function compare(
  declarations: readonly ParamDeclaration[] | undefined,
  headers: Headers,
  args: unknown,
): RpcError | null {
  for (const { header, path } of declarations ?? []) {
    const value = argumentAt(args, path);
    const sent = headers[header];
    if (value === undefined || value === null) {
      if (sent !== undefined) return mismatch(`${header} is sent, but the body has no ${path.join('.')}`);
      continue;
    }
    // What no client can mirror is the server's to judge.
    if (sent === undefined && mirrorText(value) === null) continue;
    if (sent === undefined) return mismatch(`the header ${header} is missing; the body has ${path.join('.')}`);
    const decoded = decodeHeader(String(sent));
    if (decoded === null) return mismatch(`${header} ${quote(sent)} is not a valid header value`);
    if (!same(decoded, value)) {
      return mismatch(`${header} ${quote(decoded)} is not ${path.join('.')} ${quote(value)} of the body`);
    }
  }
  return null;
}

/** Numbers by their value: 42.0 is 42. */
function same(header: string, value: unknown): boolean {
  if (typeof value === 'number') return header.trim() !== '' && Number(header) === value;
  return header === String(value);
}
