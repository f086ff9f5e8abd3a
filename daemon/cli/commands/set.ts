/** `governor set NAME key=value…`. */

import { suggestion } from '../../../config/suggest.ts';
import { quote } from '../../../config/notation.ts';
import { isResource, RESOURCES, type Resource } from '../../../lib/core/resource.ts';
import { err, ok, type Result } from '../../../lib/core/result.ts';
import type { ToolView } from '../../../lib/supervisor/views.ts';
import { createClient, segment } from '../client.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import type { Session } from '../session.ts';
import { printable } from '../text.ts';
import { usageError } from '../usage-error.ts';
import { limitText, liveRuns } from '../values.ts';

export async function set(session: Session, name: string, pairs: readonly string[]): Promise<ExitCode> {
  const limits = parsePairs(pairs);
  if (!limits.ok) return usageError(session, 'set', limits.error);
  const reply = await createClient(session.locations()).send('PATCH', `/v1/tools/${segment(name)}`, {
    limits: limits.value,
  });
  if (session.json) {
    session.print(reply.text);
    return EXIT.ok;
  }
  const tool = reply.body as ToolView;
  // A live run says what became of the limit; without one it is only known what will be asked.
  const limitsOfRun = liveRuns(tool.runs)[0]?.limits;
  const limitsNow = limitsOfRun ?? tool.limits;
  const when = limitsOfRun === undefined ? ', from its next start' : '';
  for (const limit of limitsNow.filter(({ resource }) => Object.hasOwn(limits.value, resource))) {
    const note = limit.note === undefined ? '' : ` (${limit.note})`;
    session.print(
      printable(`${tool.name}: ${limit.resource} ${limitText(limit)}, enforced: ${limit.enforcement}${note}${when}`),
    );
  }
  return EXIT.ok;
}

/** Values stay as written: the daemon judges them by the one schema. `none` lifts a limit. */
export function parsePairs(
  pairs: readonly string[],
): Result<Readonly<Partial<Record<Resource, string | number | null>>>, string> {
  const limits: Partial<Record<Resource, string | number | null>> = {};
  for (const pair of pairs) {
    const equals = pair.indexOf('=');
    if (equals < 1 || equals === pair.length - 1) return err(`${quote(pair)} is not key=value, such as memory=512MiB`);
    const key = pair.slice(0, equals).replaceAll('-', '_');
    if (!isResource(key)) return err(`there is no limit ${quote(key)}; ${suggestion(key, RESOURCES, 'limits')}`);
    if (Object.hasOwn(limits, key)) return err(`${key} is given twice`);
    const value = pair.slice(equals + 1);
    limits[key] = value === 'none' ? null : /^\d+$/.test(value) ? Number(value) : value;
  }
  return ok(limits);
}
