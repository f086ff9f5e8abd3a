/** What the front doors open sessions with: one server as it is, or all of them as one; each in the protocol era of the client. */

import { openBridged } from '../bridge/bridge.ts';
import type { BridgeOptions } from '../bridge/bridge.ts';
import type { Fields } from '../wire/message.ts';
import type { Gateway, Servers } from '../wire/session.ts';
import { MergedSession } from './merged-session.ts';
import { DEFAULT_SEPARATOR, MergedNames } from './names.ts';
import { Patience } from './patience.ts';
import { ROUTER_DEFAULTS } from './settings.ts';
import type { RouterSettings } from './settings.ts';

export interface GatewayOptions {
  readonly servers: Servers;
  /** Governor as an Implementation: `{name, version, …}`. What the merged view says it is. */
  readonly info: Fields;
  /** Between a server's name and its tool's: 1 to 8 of `_ . -`. */
  readonly separator?: string;
  readonly settings?: Partial<RouterSettings>;
  readonly bridge?: Partial<BridgeOptions>;
  /** Monotonic milliseconds. */
  readonly now?: () => number;
}

export interface ClosableGateway extends Gateway {
  /** Hears of no more changes. Sessions go on until they are closed. */
  close(): void;
}

/** @throws GovernorError invalid_config for a separator that is not one */
export function createGateway(options: GatewayOptions): ClosableGateway {
  const { servers, info, bridge = {}, now = () => performance.now() } = options;
  const separator = options.separator ?? DEFAULT_SEPARATOR;
  const settings: RouterSettings = { ...ROUTER_DEFAULTS, ...options.settings };
  const patience = new Patience({ slowForMs: settings.slowForMs, shortMs: settings.slowWaitMs, now });
  const sessions = new Set<MergedSession>();
  // Made when somebody looks: thousands of tools may come one after the other, and nobody be there.
  let known: MergedNames | null = null;
  const names = (): MergedNames => {
    if (known === null) {
      known = new MergedNames(servers.names(), separator);
      patience.keep(known.servers);
    }
    return known;
  };
  const dispose = servers.onChanged(() => {
    known = null;
    for (const session of sessions) session.refresh();
  });
  return {
    close: dispose,
    open(view, client) {
      if (view.kind === 'tool') return openBridged((face) => servers.open(view.tool, face), client, bridge);
      const session: MergedSession = new MergedSession({
        servers,
        client,
        settings,
        patience,
        bridge,
        info,
        names,
        onClose: () => sessions.delete(session),
      });
      sessions.add(session);
      return session;
    },
  };
}
