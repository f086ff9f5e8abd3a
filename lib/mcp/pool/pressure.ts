/** The notice of a tool under pressure, as its clients see it: a line of its log by Governor. */

import { describeUsage } from '../../core/message.ts';
import type { Pressure } from '../../supervisor/run-events.ts';
import type { ServedRun } from '../../supervisor/served.ts';
import type { NotificationBody } from '../wire/message.ts';

/** Least to most severe (RFC 5424, as MCP names them). */
const LEVELS = ['debug', 'info', 'notice', 'warning', 'error', 'critical', 'alert', 'emergency'];

/** @param level the least severe that a client wants; anything else than one of the eight admits nothing */
export function admitsWarning(level: unknown): boolean {
  const rank = LEVELS.indexOf(level as string);
  return rank !== -1 && rank <= LEVELS.indexOf('warning');
}

export function pressureMessage(run: ServedRun, pressure: Pressure): NotificationBody {
  const { resource, usage, limit, ratio, stage } = pressure;
  const message = `${run.tool}: ${describeUsage(resource, usage, limit, ratio)}, stage ${stage}`;
  return {
    method: 'notifications/message',
    params: { level: 'warning', logger: 'governor', data: { message, tool: run.tool, run: run.id, ...pressure } },
  };
}
