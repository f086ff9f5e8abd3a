/** Reads request bodies with bounded memory: of one, and of all that are on their way. */

import { isUtf8 } from 'node:buffer';
import type { IncomingMessage } from 'node:http';

export type Body =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'too_large' }
  /** Too much is being received already. */
  | { readonly kind: 'busy' }
  | { readonly kind: 'not_utf8' };

export interface BodyBounds {
  readonly maxBodyBytes: number;
  readonly maxBodiesBytes: number;
}

export class BodyReader {
  readonly #bounds: BodyBounds;
  #heldBytes = 0;

  constructor(bounds: BodyBounds) {
    this.#bounds = bounds;
  }

  /** Bytes of bodies that are not complete yet. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** `done` is called once, or never when the client goes before its body is complete. */
  read(request: IncomingMessage, done: (body: Body) => void): void {
    const { maxBodyBytes, maxBodiesBytes } = this.#bounds;
    if (Number(request.headers['content-length'] ?? 0) > maxBodyBytes) return done({ kind: 'too_large' });
    const chunks: Buffer[] = [];
    let bytes = 0;
    let over = false;
    const finish = (body: Body | null): void => {
      if (over) return;
      over = true;
      this.#heldBytes -= bytes;
      if (body !== null) done(body);
    };
    request.on('data', (chunk: Buffer) => {
      if (over) return;
      bytes += chunk.length;
      this.#heldBytes += chunk.length;
      if (bytes > maxBodyBytes) return finish({ kind: 'too_large' });
      if (this.#heldBytes > maxBodiesBytes) return finish({ kind: 'busy' });
      chunks.push(chunk);
    });
    request.on('end', () => finish(decode(chunks)));
    request.on('error', () => finish(null));
    request.on('close', () => finish(null));
  }
}

function decode(chunks: readonly Buffer[]): Body {
  const [first] = chunks;
  const bytes = chunks.length === 1 && first !== undefined ? first : Buffer.concat(chunks);
  return isUtf8(bytes) ? { kind: 'text', text: bytes.toString('utf8') } : { kind: 'not_utf8' };
}
