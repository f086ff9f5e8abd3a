/** `auth` of a tool with a `url`: how Governor signs in at the server, by OAuth. */

import { z } from 'zod';
import { amount, closed, text } from './fields.ts';
import type { IssueParams } from './fields.ts';

/** RFC 6749, 3.3. */
const SCOPE = /^[\x21\x23-\x5b\x5d-\x7e]+$/;

const SCOPES = z
  .array(
    amount(
      (raw) =>
        typeof raw === 'string' && SCOPE.test(raw)
          ? { ok: true, value: raw }
          : { ok: false, error: { message: 'is no scope', hint: 'one word, such as files:read' } },
      { type: 'string' },
    ),
  )
  .max(100)
  .optional()
  .meta({ description: 'What to ask for. Default: what the server asks for.' });

const ISSUER = amount(parseIssuer, {
  type: 'string',
  pattern: '^https?://',
  examples: ['https://login.example.org'],
  description: 'The authorization server that these credentials are of: they are sent to no other.',
});

const CLIENT_ID = text({
  maxLength: 2048,
  description: 'As the authorization server knows Governor. ${NAME} as in env.',
});
const CLIENT_SECRET = text({
  maxLength: 16_384,
  description: 'Its secret: ${NAME} as in env keeps it out of the file.',
});

const BROWSER = closed({
  client_id: CLIENT_ID.optional(),
  client_secret: CLIENT_SECRET.optional(),
  issuer: ISSUER.optional(),
  scopes: SCOPES,
})
  .superRefine((given, context) => {
    if (given.client_secret !== undefined && given.client_id === undefined)
      refuse(context, ['client_secret'], 'client_secret belongs to no client_id', 'add client_id');
    if (given.client_id !== undefined && given.issuer === undefined)
      refuse(context, ['client_id'], 'client_id without the issuer that it is of', 'add issuer: https://…');
  })
  .meta({
    description:
      'A person signs in once, with governor login NAME; the tokens are kept and renewed. Without client_id Governor registers itself.',
  });

const CLIENT_CREDENTIALS = closed({
  client_id: CLIENT_ID,
  client_secret: CLIENT_SECRET.optional(),
  private_key: text({
    maxLength: 4096,
    description: 'PEM file with the private key that signs in place of a secret (private_key_jwt).',
  }).optional(),
  issuer: ISSUER,
  scopes: SCOPES,
})
  .superRefine((given, context) => {
    if (given.client_secret !== undefined && given.private_key !== undefined)
      refuse(context, ['private_key'], 'client_secret and private_key are given', 'take one of them out');
    if (given.client_secret === undefined && given.private_key === undefined)
      refuse(context, ['client_id'], 'neither client_secret nor private_key is given', 'add one of them');
  })
  .meta({ description: 'Governor signs in by itself, without a person.' });

export const AuthSchema = z
  .union([
    z.enum(['browser']),
    closed({ browser: BROWSER.optional(), client_credentials: CLIENT_CREDENTIALS.optional() }).superRefine(
      (given, context) => {
        const ways = [given.browser, given.client_credentials].filter((way) => way !== undefined).length;
        if (ways === 0) refuse(context, [], 'auth: names no way to sign in', 'write auth: browser');
        if (ways > 1) refuse(context, ['browser'], 'auth: names two ways to sign in', 'take one of them out');
      },
    ),
  ])
  .meta({ description: 'OAuth sign-in: browser, or a mapping with browser or client_credentials.' });

export type AuthFields = z.infer<typeof AuthSchema>;

type Parsed<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly error: { readonly message: string; readonly hint: string } };

/** As it is written: issuers are compared as text (RFC 8414, 3.3). */
function parseIssuer(raw: unknown): Parsed<string> {
  const wrong = (message: string, hint: string): Parsed<string> => ({ ok: false, error: { message, hint } });
  const url = typeof raw === 'string' && URL.canParse(raw) ? new URL(raw) : null;
  if (typeof raw !== 'string' || url === null) return wrong('is no address', 'write https://login.example.org');
  if (!isPrivateWay(url)) return wrong('is not https', 'secrets would be sent in the clear');
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '')
    return wrong('has more than an issuer has', 'take out user, password, query and fragment');
  return { ok: true, value: raw };
}

/** Nobody on the way can read what is sent to it. */
export function isPrivateWay({ protocol, hostname }: URL): boolean {
  if (protocol === 'https:') return true;
  return protocol === 'http:' && (hostname === 'localhost' || hostname === '[::1]' || /^127\.[\d.]+$/.test(hostname));
}

function refuse(context: z.RefinementCtx, path: PropertyKey[], message: string, hint: string): void {
  const params: IssueParams = { kind: 'value', hint, plain: true };
  context.addIssue({ code: 'custom', message, params, path });
}
