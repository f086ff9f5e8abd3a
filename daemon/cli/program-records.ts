/** Commands about what is kept: events, post-mortems, the audit, answers of servers. */

import { Option } from 'commander';
import type { Command } from 'commander';
import type { CacheSelection } from './commands/cache.ts';
import { addGlobalOptions, finder, numeric, optional, wholeNumber } from './program-options.ts';
import type { Act, Add } from './program-options.ts';

const AUDIT_KINDS =
  'daemon, lifecycle, stage, action, intent, outcome, cleanup, limits, budget, anomaly, recovery, sign_in, leak, retention, lost';

export function addRecordCommands(program: Command, add: Add, act: Act): void {
  const events = add(program, 'events', 'what happened since the daemon started');
  events
    .option('-f, --follow', 'go on as it happens')
    .option('--since-id <id>', 'only events after this id', wholeNumber(0, Number.MAX_SAFE_INTEGER));
  act(events, async (session, { options }) =>
    (await import('./commands/events.ts')).events(session, options['follow'] === true, numeric(options['sinceId'])),
  );
  const failures = add(
    program,
    'post-mortem',
    'what a tool was like when it failed; without a name, all that are kept',
  );
  failures.argument('[name[/run]]', 'tool or run');
  act(failures, async (session, { positional }) =>
    (await import('./commands/post-mortem.ts')).postMortem(session, optional(positional[0])),
  );
  const audit = program.command('audit').description('the audit trail; works without a daemon too').helpCommand(false);
  audit.helpOption('-h, --help', 'print this help');
  addGlobalOptions(audit);
  const show = addAuditFilter(add(audit, 'show', 'entries, oldest first'));
  show.option('-n, --limit <count>', 'how many entries at most, the newest', wholeNumber(1, 10_000), 100);
  act(show, async (session, { options }) => (await import('./commands/audit.ts')).show(session, options));
  const verify = add(audit, 'verify', 'check the chain: exit code 1 when an entry was changed, removed or added');
  act(verify, async (session) => (await import('./commands/audit.ts')).verify(session));
  const exported = addAuditFilter(add(audit, 'export', 'every entry to stdout'));
  exported.addOption(new Option('--format <format>', 'JSON lines or CSV').choices(['jsonl', 'csv']).default('jsonl'));
  act(exported, async (session, { options }) => (await import('./commands/audit.ts')).exportAudit(session, options));
}

export function addCacheCommands(program: Command, add: Add, act: Act): void {
  const cache = addCacheFilter(add(program, 'cache', 'what is kept of the answers of servers; the same as `cache ls`'));
  cache.addHelpText(
    'after',
    "\nExamples:\n  governor cache ls --tool docs\n  governor cache clear --tool docs --pattern 'file:///{+path}'\n",
  );
  const ls = addCacheFilter(add(cache, 'ls', 'statistics, and the entries in memory, latest used first'));
  for (const command of [cache, ls])
    act(command, async (session) => (await import('./commands/cache.ts')).listCache(session, cacheSelection(command)));
  const clear = addCacheFilter(add(cache, 'clear', 'invalidate entries, all or some, in Redis and other daemons too'));
  act(clear, async (session) => (await import('./commands/cache.ts')).clearCache(session, cacheSelection(clear)));
}

/** Wherever a filter stands: `cache --tool docs clear` must not clear everything. */
function cacheSelection(command: Command): CacheSelection {
  const find = finder(command);
  return { tool: optional(find('tool')), uri: optional(find('uri')), pattern: optional(find('pattern')) };
}

function addCacheFilter(command: Command): Command {
  return command
    .option('--tool <name>', 'only of this tool')
    .option('--uri <uri>', 'only of this resource')
    .option('--pattern <template>', 'only of resources whose URI matches this template (RFC 6570)');
}

function addAuditFilter(command: Command): Command {
  return command
    .option('--tool <name>', 'only this tool')
    .option('--run <id>', 'only this run')
    .addOption(new Option('--kind <kind>', 'only this kind of entry').choices(AUDIT_KINDS.split(', ')))
    .option('--since <time>', 'only from this time on: ISO 8601, or a duration back from now (10m)')
    .option('--until <time>', 'only up to this time');
}
