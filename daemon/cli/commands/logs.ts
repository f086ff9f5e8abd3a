/** `governor logs NAME`. */

import { createClient, query, segment } from '../client.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import type { Session } from '../session.ts';
import { printable } from '../text.ts';

export async function logs(session: Session, name: string, lines: number): Promise<ExitCode> {
  const reply = await createClient(session.locations()).get(`/v1/tools/${segment(name)}/logs${query({ lines })}`);
  if (session.json) session.print(reply.text);
  else session.print(...(reply.body as { readonly lines: readonly string[] }).lines.map(printable));
  return EXIT.ok;
}
