/** Results and errors of one era in the shape of the other. Pure: what came is never changed, others may hold it too. */

import type { Answer, Fields, RpcError } from '../wire/message.ts';
import { RPC_CODE } from '../wire/protocol.ts';
import { fieldsOf, isFields, without } from '../wire/shape.ts';
import { CACHEABLE, ERA_CODE, SERVER_INFO } from './era-names.ts';

/** @param info `serverInfo` of the server that answered */
export function modernResult(method: string, result: Fields, info: Fields): Fields {
  const modern: Record<string, unknown> = { ...result, resultType: 'complete' };
  const meta = result['_meta'];
  if (meta === undefined) modern['_meta'] = { [SERVER_INFO]: info };
  else if (isFields(meta) && meta[SERVER_INFO] === undefined) modern['_meta'] = { ...meta, [SERVER_INFO]: info };
  if (CACHEABLE.has(method)) {
    if (!isTtl(result['ttlMs'])) modern['ttlMs'] = 0;
    if (result['cacheScope'] !== 'public') modern['cacheScope'] = 'private';
  }
  if (method === 'tools/list') modern['tools'] = eachTool(result['tools'], (tool) => without(tool, ['execution']));
  return modern;
}

export function legacyResult(method: string, result: Fields): Fields {
  const legacy = without(result, CACHEABLE.has(method) ? MODERN_LIST_FIELDS : MODERN_FIELDS);
  if (method === 'tools/list') return { ...legacy, tools: eachTool(legacy['tools'], legacyTool) };
  if (method === 'tools/call') return legacyToolResult(legacy);
  return legacy;
}

const MODERN_FIELDS = ['resultType'];
const MODERN_LIST_FIELDS = ['resultType', 'ttlMs', 'cacheScope'];

/** To the legacy era structured content is an object; clients refuse the whole list for a schema that says otherwise. */
function legacyTool(tool: Fields): Fields {
  const schema = tool['outputSchema'];
  return schema === undefined || fieldsOf(schema)['type'] === 'object' ? tool : without(tool, ['outputSchema']);
}

/** What is no object is said as text, unless the server has said it as text already. */
function legacyToolResult(result: Fields): Fields {
  const structured = result['structuredContent'];
  if (structured === undefined || isFields(structured)) return result;
  const rest = without(result, ['structuredContent']);
  const content: readonly unknown[] = Array.isArray(result['content']) ? result['content'] : [];
  if (content.length > 0) return rest;
  return { ...rest, content: [{ type: 'text', text: JSON.stringify(structured) }] };
}

function eachTool(tools: unknown, change: (tool: Fields) => Fields): unknown {
  return Array.isArray(tools) ? tools.map((tool: unknown) => (isFields(tool) ? change(tool) : tool)) : tools;
}

function isTtl(value: unknown): boolean {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

const GOVERNOR_CODES: ReadonlySet<number> = new Set<number>([RPC_CODE.refused, RPC_CODE.stopped, RPC_CODE.deadline]);

/** -32020 to -32099 have a meaning of their own in the modern era: a legacy server's own code there goes into `data.code`. */
export function modernError(error: RpcError): RpcError {
  const { code } = error;
  if (code === ERA_CODE.resourceNotFound) return { ...error, code: RPC_CODE.invalidParams };
  if (code > -32020 || code < -32099 || GOVERNOR_CODES.has(code)) return error;
  const data = error.data === undefined || isFields(error.data) ? { ...fieldsOf(error.data), code } : error.data;
  return { ...error, code: RPC_CODE.internalError, data };
}

/** The modern era says -32602 also for a resource that is not there, and then names it. */
export function legacyError(method: string, params: Fields | undefined, error: RpcError): RpcError {
  if (method !== 'resources/read' || error.code !== RPC_CODE.invalidParams) return error;
  const uri = fieldsOf(error.data)['uri'];
  return uri !== undefined && uri === params?.['uri'] ? { ...error, code: ERA_CODE.resourceNotFound } : error;
}

export function modernAnswer(method: string, answer: Answer, info: Fields): Answer {
  return answer.kind === 'result'
    ? { kind: 'result', result: modernResult(method, answer.result, info) }
    : { kind: 'error', error: modernError(answer.error) };
}
