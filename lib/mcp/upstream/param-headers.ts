/** `Mcp-Param-…`: what a modern server elsewhere wants mirrored of a call's arguments, learnt from the lists of tools that go by. */

import type { Fields, RequestMessage } from '../wire/message.ts';
import { META } from '../wire/protocol.ts';
import { argumentAt, mirrorText, paramDeclarations } from '../wire/param-declarations.ts';
import type { ParamDeclaration } from '../wire/param-declarations.ts';
import { paramFault } from '../wire/param-faults.ts';
import { isFields, metaOf } from '../wire/shape.ts';
import { shortly } from '../wire/text.ts';

/** 5.5: what passes as it is; the rest goes as base64, and so does what looks like that. */
const PLAIN = /^[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?$/;
/** Of one server; more declare nothing that is known. */
const TOOLS_MAX = 10_000;
/** A list that goes on for ever is none. */
const PAGES_MAX = 100;

export class ParamHeaders {
  readonly #declared = new Map<string, readonly ParamDeclaration[]>();
  /** Of the tools that are left out, in words. */
  readonly #faults = new Map<string, string>();
  readonly #onFault: (problem: string) => void;

  /** @param onFault a tool is left out from now on, in words */
  constructor(onFault: (problem: string) => void) {
    this.#onFault = onFault;
  }

  /**
   * A page of `tools/list`.
   * @returns the page without the tools whose declarations are invalid, which a client has to leave out
   */
  learn(page: Fields): Fields {
    const { tools } = page;
    if (!Array.isArray(tools)) return page;
    const fit = (tools as readonly unknown[]).filter((tool) => this.#isFit(tool));
    for (const [tool, declarations] of paramDeclarations(fit)) {
      if (declarations.length === 0) this.#declared.delete(tool);
      else if (this.#declared.size < TOOLS_MAX || this.#declared.has(tool)) this.#declared.set(tool, declarations);
    }
    return fit.length === tools.length ? page : { ...page, tools: fit };
  }

  /** Why this call cannot be made; null: it can, as far as is known. */
  refusalOf({ method, params }: RequestMessage): string | null {
    const name = params?.['name'];
    const fault = method === 'tools/call' && typeof name === 'string' ? this.#faults.get(name) : undefined;
    return fault === undefined ? null : `${shortly(name)} cannot be called: ${fault}`;
  }

  #isFit(tool: unknown): boolean {
    if (!isFields(tool)) return true;
    const { name, inputSchema } = tool;
    const found = paramFault(inputSchema);
    if (typeof name !== 'string') return found === null;
    if (found === null) {
      this.#faults.delete(name);
      return true;
    }
    this.#declared.delete(name);
    const fault = `its "x-mcp-header" is invalid: ${found}`;
    // Told once, however often it is listed.
    if (this.#faults.get(name) === fault || (this.#faults.size >= TOOLS_MAX && !this.#faults.has(name))) return false;
    this.#faults.set(name, fault);
    this.#onFault(`the tool ${shortly(name)} is left out: ${fault}`);
    return false;
  }

  /** @param ask for one page; null: it failed */
  async learnAll(
    call: RequestMessage,
    ask: (request: Pick<RequestMessage, 'method' | 'params'>) => Promise<Fields | null>,
  ): Promise<void> {
    const meta = metaOf(call.params) ?? {};
    const kept = [META.protocolVersion, META.clientInfo, META.clientCapabilities].filter(
      (key) => meta[key] !== undefined,
    );
    const _meta = Object.fromEntries(kept.map((key) => [key, meta[key]]));
    let cursor: unknown;
    for (let page = 0; page < PAGES_MAX; page++) {
      const params = cursor === undefined ? { _meta } : { _meta, cursor };
      const result = await ask({ method: 'tools/list', params });
      if (result === null) return;
      this.learn(result);
      cursor = result['nextCursor'];
      if (cursor === undefined) return;
    }
  }

  /** Of a call: nothing for an argument that it does not have, or that is no single value. */
  of({ method, params }: RequestMessage): Readonly<Record<string, string>> {
    const headers: Record<string, string> = {};
    const { name } = params ?? {};
    if (method !== 'tools/call' || typeof name !== 'string') return headers;
    for (const { header, path } of this.#declared.get(name) ?? []) {
      const text = mirrorText(argumentAt(params?.['arguments'], path));
      if (text !== null) headers[header] = isPlain(text) ? text : coded(text);
    }
    return headers;
  }
}

function isPlain(text: string): boolean {
  return PLAIN.test(text) && !(text.startsWith('=?base64?') && text.endsWith('?='));
}

function coded(text: string): string {
  return `=?base64?${Buffer.from(text, 'utf8').toString('base64')}?=`;
}
