/** The data of a refusal that is of no resource: every field is there, whatever refused. */

export function refusalFields(retryAfterMs: number | null): Readonly<Record<string, unknown>> {
  return { resource: null, usage: null, limit: null, ratio: null, stage: null, action: 'refuse_calls', retryAfterMs };
}
