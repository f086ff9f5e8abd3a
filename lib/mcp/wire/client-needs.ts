/** Which capability of the client a question of the server needs, and whether the client has it. Pure. */

import type { Fields, RequestBody } from './message.ts';
import { isFields } from './shape.ts';

/**
 * What the client would have to declare, as `ClientCapabilities`; null where it has declared it.
 * @returns undefined for what no client can be asked
 */
export function missingFor({ method, params }: RequestBody, capabilities: Fields): Fields | null | undefined {
  if (method === 'roots/list') return isFields(capabilities['roots']) ? null : { roots: {} };
  if (method === 'sampling/createMessage') {
    const sampling = capabilities['sampling'];
    const needsTools = params?.['tools'] !== undefined || params?.['toolChoice'] !== undefined;
    if (!isFields(sampling)) return { sampling: needsTools ? { tools: {} } : {} };
    return needsTools && !isFields(sampling['tools']) ? { sampling: { tools: {} } } : null;
  }
  if (method !== 'elicitation/create') return undefined;
  const mode = params?.['mode'] === 'url' ? 'url' : 'form';
  const elicitation = capabilities['elicitation'];
  if (!isFields(elicitation)) return { elicitation: { [mode]: {} } };
  // An empty declaration is one of forms.
  const has = isFields(elicitation[mode]) || (mode === 'form' && elicitation['url'] === undefined);
  return has ? null : { elicitation: { [mode]: {} } };
}
