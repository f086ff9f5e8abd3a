/**
 * What a managed tool sees of the daemon's environment: enough to run, nothing that is anyone's secret. The list of the
 * MCP SDK's stdio client, and what locale, time zone, temp files and proxies need. `env` in limits.yaml adds to it.
 */

const NAMES = [
  'HOME',
  'LOGNAME',
  'PATH',
  'SHELL',
  'TERM',
  'USER',
  'LANG',
  'LANGUAGE',
  'TZ',
  'XDG_RUNTIME_DIR',
  'XDG_CACHE_HOME',
  'XDG_CONFIG_HOME',
  'XDG_DATA_HOME',
  'NODE_EXTRA_CA_CERTS',
  'SSL_CERT_FILE',
  'SSL_CERT_DIR',
];

export function baseEnvironment(
  environment: Readonly<Record<string, string | undefined>>,
): Readonly<Record<string, string>> {
  const kept: Record<string, string> = {};
  for (const [name, value] of Object.entries(environment)) {
    if (value === undefined) continue;
    // An exported shell function is code; the SDK leaves those out too.
    if ((NAMES.includes(name) || name.startsWith('LC_')) && !value.startsWith('()')) kept[name] = value;
  }
  return kept;
}
