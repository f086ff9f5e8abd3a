/** One entry of `tools` that is a server elsewhere: `url` in place of `command`. */

import { z } from 'zod';
import { AuthSchema } from './auth-schema.ts';
import { amount, closed, text } from './fields.ts';
import type { NotEnforced } from './fields.ts';
import { RemoteLimitsSchema } from './limit-schema.ts';
import { SERVING_SHAPE } from './serving-schema.ts';

const NOT_HELD = 'a server on another host is held to nothing here';

const NOT_FOR_REMOTE: NotEnforced = {
  command: 'a tool has a command or a url',
  args: 'a tool with a url has no process here',
  cwd: 'a tool with a url has no process here',
  env: 'a tool with a url has no process here',
  class: NOT_HELD,
  stages: NOT_HELD,
  actions: NOT_HELD,
  ladder: NOT_HELD,
  calls: NOT_HELD,
  leaks: NOT_HELD,
  on_starvation: NOT_HELD,
  dry_run: NOT_HELD,
  grace: 'a tool with a url has no process here',
  readiness: 'a tool with a url speaks MCP',
};

/** Set by the protocol itself, or of the connection. */
const RESERVED_HEADERS: ReadonlySet<string> = new Set([
  'accept',
  'connection',
  'content-length',
  'content-type',
  'host',
  'last-event-id',
  'mcp-method',
  'mcp-name',
  'mcp-protocol-version',
  'mcp-session-id',
  'transfer-encoding',
  'upgrade',
]);
/** RFC 9110, 5.6.2. */
const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

export const RemoteToolSchema = closed(
  {
    url: amount(parseServerUrl, {
      type: 'string',
      pattern: '^https?://',
      examples: ['https://example.org/mcp'],
      description: 'Address of a server elsewhere, over Streamable HTTP.',
    }),
    headers: z
      .record(z.string(), text({ maxLength: 16_384 }))
      .optional()
      .meta({
        description: 'Sent with each request. ${NAME} and ${NAME:-default} as in env: secrets stay out of the file.',
      }),
    auth: AuthSchema.optional(),
    limits: RemoteLimitsSchema.optional(),
    ...SERVING_SHAPE,
  },
  NOT_FOR_REMOTE,
);

export type RemoteFields = z.infer<typeof RemoteToolSchema>;

export function headerProblem(name: string): { readonly message: string; readonly hint: string } | null {
  if (!HEADER_NAME.test(name))
    return { message: `headers: ${JSON.stringify(name)} is no name of a header`, hint: 'letters, digits and -' };
  if (RESERVED_HEADERS.has(name.toLowerCase()))
    return { message: `headers: ${name} is set by the protocol`, hint: 'take it out' };
  return null;
}

type Parsed =
  | { readonly ok: true; readonly value: string }
  | { readonly ok: false; readonly error: { readonly message: string; readonly hint: string } };

function parseServerUrl(raw: unknown): Parsed {
  const wrong = (message: string, hint: string): Parsed => ({ ok: false, error: { message, hint } });
  if (typeof raw !== 'string') return wrong('must be text', 'write https://example.org/mcp');
  const url = URL.canParse(raw) ? new URL(raw) : null;
  if (url === null) return wrong('is no address', 'write https://example.org/mcp');
  if (url.protocol === 'ws:' || url.protocol === 'wss:')
    return wrong('WebSocket is no transport of MCP', 'write the http or https address of its Streamable HTTP endpoint');
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    return wrong(`${url.protocol} is not possible here`, 'write an http or https address');
  if (url.username !== '' || url.password !== '')
    return wrong('has credentials in it', 'put them into headers, such as Authorization: "Bearer ${TOKEN}"');
  if (url.hash !== '') return wrong('has a fragment, which is never sent', 'take out what comes after #');
  return { ok: true, value: url.href };
}
