/** An entry of `tools:` with a `url`, and how Governor signs in there. */

import type { Problem } from '../lib/core/errors.ts';
import type { SignInSettings, ToolDefinition } from '../lib/supervisor/governor.ts';
import { isPrivateWay } from './auth-schema.ts';
import type { AuthFields } from './auth-schema.ts';
import { cacheProblems } from './cache-schema.ts';
import { DEFAULT_SHARING } from './defaults.ts';
import { mapping } from './file-scope.ts';
import type { FileScope } from './file-scope.ts';
import { replaced } from './file-variables.ts';
import { fileLayer } from './layers.ts';
import { recoveryProblems } from './recovery.ts';
import { buildRemote } from './remote.ts';
import { headerProblem, RemoteToolSchema } from './remote-schema.ts';
import type { Layer } from './resolve.ts';
import { texts } from './salvage.ts';
import type { DaemonDefaults } from './tool.ts';

type Path = readonly string[];

export function readRemote(
  name: string,
  path: Path,
  raw: unknown,
  scope: FileScope,
  { cacheOff }: Pick<DaemonDefaults, 'cacheOff'>,
  environment: Layer,
): { readonly tool: ToolDefinition | null; readonly problems: readonly Problem[] } {
  const parsed = RemoteToolSchema.safeParse(raw);
  // Of an entry that the schema refuses as well: all mistakes show in one report.
  const headers = parsed.success ? (parsed.data.headers ?? {}) : texts(mapping(raw)['headers']);
  const sent = readHeaders([...path, 'headers'], headers, scope);
  if (!parsed.success) return { tool: null, problems: sent.problems };
  const { recovery, auth, url } = parsed.data;
  const problems = [...sent.problems];
  const sharing = parsed.data.sharing ?? DEFAULT_SHARING;
  for (const { path: below, ...wrong } of recoveryProblems(recovery, { callsPass: true, sharing, held: null }))
    problems.push({ where: scope.document.locate([...path, 'recovery', ...below], 'value'), ...wrong });
  for (const { path: below, ...wrong } of cacheProblems(parsed.data.cache, cacheOff))
    problems.push({ where: scope.document.locate([...path, 'cache', ...below], 'value'), ...wrong });
  if (auth !== undefined) problems.push(...conflicts(path, url, Object.keys(headers), scope));
  const signIn = auth === undefined ? null : readAuth([...path, 'auth'], auth, scope);
  return {
    tool: buildRemote(name, parsed.data, sent.values, signIn?.settings ?? null, [
      onlyRuntime(environment),
      fileLayer(path, parsed.data.limits ?? {}, scope),
    ]),
    problems: [...problems, ...(signIn?.problems ?? [])],
  };
}

/** What the environment says for all tools holds for one elsewhere as far as it can. */
function onlyRuntime({ runtime }: Layer): Layer {
  return runtime === undefined ? {} : { runtime };
}

function readHeaders(
  path: Path,
  headers: Readonly<Record<string, string>>,
  scope: FileScope,
): ReturnType<typeof replaced> {
  const { locate } = scope.document;
  const problems = Object.keys(headers).flatMap((key): Problem[] => {
    const wrong = headerProblem(key);
    return wrong === null ? [] : [{ where: locate([...path, key], 'key'), ...wrong }];
  });
  const sent = replaced(path, headers, scope);
  for (const [key, value] of Object.entries(sent.values)) {
    // As text it would end the header and begin another.
    if (!/[\r\n\0]/.test(value)) continue;
    problems.push({
      where: locate([...path, key], 'value'),
      message: `headers: ${key} has a line break in it`,
      hint: 'a header is one line',
    });
  }
  return { values: sent.values, problems: [...problems, ...sent.problems] };
}

/** What would give the token away, or stand in its place. */
function conflicts(path: Path, url: string, headers: readonly string[], { document }: FileScope): readonly Problem[] {
  const problems: Problem[] = [];
  const own = headers.find((key) => key.toLowerCase() === 'authorization');
  if (own !== undefined)
    problems.push({
      where: document.locate([...path, 'headers', own], 'key'),
      message: `headers: ${own} and auth both say who asks`,
      hint: 'take one of them out',
    });
  if (!isPrivateWay(new URL(url)))
    problems.push({
      where: document.locate([...path, 'url'], 'value'),
      message: 'url: with auth it has to be https',
      hint: 'the token would be sent in the clear',
    });
  return problems;
}

function readAuth(
  path: Path,
  auth: AuthFields,
  scope: FileScope,
): { readonly settings: SignInSettings | null; readonly problems: readonly Problem[] } {
  const { browser, client_credentials: machine } = auth === 'browser' ? { browser: {} } : auth;
  if (machine !== undefined) {
    const at = [...path, 'client_credentials'];
    const { values, problems } = credentials(at, machine, scope);
    const { issuer, scopes = [], private_key: file } = machine;
    const key = file === undefined ? { secret: values['client_secret'] ?? '' } : { file: scope.inFolder(file) };
    return {
      settings: { kind: 'client_credentials', clientId: values['client_id'] ?? '', key, issuer, scopes },
      problems,
    };
  }
  // Two or none were reported by the schema.
  if (browser === undefined) return { settings: null, problems: [] };
  const { values, problems } = credentials([...path, 'browser'], browser, scope);
  return {
    settings: {
      kind: 'browser',
      clientId: values['client_id'] ?? null,
      clientSecret: values['client_secret'] ?? null,
      issuer: browser.issuer ?? null,
      scopes: browser.scopes ?? [],
    },
    problems,
  };
}

function credentials(
  path: Path,
  given: { readonly client_id?: string | undefined; readonly client_secret?: string | undefined },
  scope: FileScope,
): ReturnType<typeof replaced> {
  const written = Object.entries({ client_id: given.client_id, client_secret: given.client_secret }).filter(
    (entry): entry is [string, string] => entry[1] !== undefined,
  );
  const { values, problems } = replaced(path, Object.fromEntries(written), scope);
  const empty = Object.entries(values).filter(([key, value]) => value === '' && !problems.some(isAbout(key)));
  return {
    values,
    problems: [
      ...problems,
      ...empty.map(([key]) => ({
        where: scope.document.locate([...path, key], 'value'),
        message: `${key}: is empty`,
        hint: 'set the variable that it is taken from',
      })),
    ],
  };
}

function isAbout(key: string): (problem: Problem) => boolean {
  return ({ message }) => message.startsWith(`${key}: `);
}
