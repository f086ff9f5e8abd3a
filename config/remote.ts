/** From a validated entry with a `url` to the definition that the supervisor takes. */

import type { SignInSettings, ToolDefinition } from '../lib/supervisor/governor.ts';
import { cacheRules } from './cache-schema.ts';
import {
  DEFAULT_CALLS,
  UNSEEN_LEAKS,
  DEFAULT_GRACE_MS,
  DEFAULT_HEALTH_CHECK_MS,
  DEFAULT_IDLE_TIMEOUT_MS,
  DEFAULT_LADDER,
  DEFAULT_READY_TIMEOUT_MS,
  DEFAULT_SHARING,
} from './defaults.ts';
import { recoveryOf } from './recovery.ts';
import type { RemoteFields } from './remote-schema.ts';
import { resolveLimits } from './resolve.ts';
import type { Layer } from './resolve.ts';

/** @param headers variables replaced @param layers of its limits, strongest first */
export function buildRemote(
  name: string,
  fields: RemoteFields,
  headers: Readonly<Record<string, string>>,
  signIn: SignInSettings | null,
  layers: readonly Layer[],
): ToolDefinition {
  const { url } = fields;
  return {
    name,
    command: url,
    args: [],
    remote: { url, headers, ...(signIn === null ? {} : { signIn }) },
    env: {},
    cwd: null,
    class: 'remote',
    limits: resolveLimits(layers, { thresholds: {}, actions: {}, callsPass: true }),
    ladder: DEFAULT_LADDER,
    recovery: recoveryOf(fields.recovery, null, null),
    graceMs: DEFAULT_GRACE_MS,
    readyTimeoutMs: fields.ready_timeout ?? DEFAULT_READY_TIMEOUT_MS,
    readiness: 'mcp',
    sharing: fields.sharing ?? DEFAULT_SHARING,
    idleTimeoutMs: fields.idle_timeout === undefined ? DEFAULT_IDLE_TIMEOUT_MS : fields.idle_timeout,
    healthCheckMs: fields.health_check === undefined ? DEFAULT_HEALTH_CHECK_MS : fields.health_check,
    calls: DEFAULT_CALLS,
    leaks: UNSEEN_LEAKS,
    ...cacheRules(fields.cache),
    dryRun: false,
    autostart: fields.autostart ?? true,
    origin: 'file',
  };
}
