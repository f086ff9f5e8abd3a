/** Server-sent events, as the WHATWG HTML standard section 9.2 has them read. */

export interface ServerSentEvent {
  readonly id: string | null;
  readonly event: string | null;
  readonly data: string;
}

/** A line that starts with a colon: the daemon's heartbeat and its mark between kept and live events. */
export interface Comment {
  readonly comment: string;
}

/** An event larger than this is not Governor's. */
const MAX_EVENT_CHARACTERS = 4 * 1024 * 1024;

/** @param chunks decoded text, cut anywhere */
export async function* readServerSentEvents(chunks: AsyncIterable<string>): AsyncGenerator<ServerSentEvent | Comment> {
  let event: string | null = null;
  let id: string | null = null;
  let data: string[] = [];
  let size = 0;
  for await (const line of lines(chunks)) {
    size += line.length;
    if (size > MAX_EVENT_CHARACTERS) throw new Error('an event of more than 4 MiB: not a stream of Governor');
    if (line === '') {
      if (data.length > 0) yield { id, event, data: data.join('\n') };
      event = null;
      data = [];
      size = 0;
      continue;
    }
    const colon = line.indexOf(':');
    if (colon === 0) {
      yield { comment: line.slice(1).trimStart() };
      continue;
    }
    const field = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (field === 'data') data.push(value);
    else if (field === 'event') event = value;
    else if (field === 'id' && !value.includes('\0')) id = value;
  }
}

const LINE_END = /[\r\n]/g;

/** CRLF, LF and CR end a line; an unended last line is dropped, as the standard asks. */
async function* lines(chunks: AsyncIterable<string>): AsyncGenerator<string> {
  let rest = '';
  for await (const chunk of chunks) {
    rest += chunk;
    if (rest.length > MAX_EVENT_CHARACTERS) throw new Error('a line of more than 4 MiB: not a stream of Governor');
    let start = 0;
    for (;;) {
      LINE_END.lastIndex = start;
      const at = LINE_END.exec(rest)?.index;
      if (at === undefined) break;
      // A CR at the very end may be the first half of CRLF.
      if (rest[at] === '\r' && at + 1 === rest.length) break;
      yield rest.slice(start, at);
      start = rest[at] === '\r' && rest[at + 1] === '\n' ? at + 2 : at + 1;
    }
    rest = rest.slice(start);
  }
}
