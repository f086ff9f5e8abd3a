/** What one listener throws is its own affair: the others of the same event hear of it all the same. */

import type { Warner } from '../wire/text.ts';

export function tellEach<T>(listeners: Iterable<T>, tell: (listener: T) => void, warner: Warner): void {
  // One that comes while it is told hears of the next event.
  for (const listener of [...listeners]) {
    try {
      tell(listener);
    } catch (err) {
      warner.warn({ err }, 'an event could not be passed on to one of its listeners');
    }
  }
}
