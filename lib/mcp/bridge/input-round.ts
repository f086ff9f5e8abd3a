/** One round of `input_required` (2026-07-28) put to a legacy client as the questions that its era has. */

import { randomUUID } from 'node:crypto';
import type { Answer, Fields, RequestBody } from '../wire/message.ts';
import type { Client, Exchange } from '../wire/session.ts';
import { missingFor } from '../wire/client-needs.ts';
import { fieldsOf, isFields } from '../wire/shape.ts';
import { INPUT_METHODS } from './era-names.ts';

export type RoundAnswers =
  | { readonly ok: true; readonly responses: Fields }
  /** There is no way to tell a modern server why: the call has failed. */
  | { readonly ok: false; readonly why: string };

/** All at once, as the server asked them; the first that fails takes the others back. */
export async function askRound(questions: Fields, client: Client, exchange: Exchange): Promise<RoundAnswers> {
  const asked = Object.entries(questions);
  for (const [key, question] of asked) {
    const refusal = refusalOf(key, question, client);
    if (refusal !== null) return { ok: false, why: refusal };
  }
  const round = new AbortController();
  const answers = await Promise.all(
    asked.map(async ([key, question]): Promise<readonly [string, Answer]> => {
      // One of its own for each: Node warns when a signal has more than a few listeners.
      const signal = AbortSignal.any([exchange.signal, round.signal]);
      const answer = await exchange.ask(legacyQuestion(fieldsOf(question)), signal);
      if (answer.kind === 'error') round.abort(new Error('another question of the same call was not answered'));
      return [key, answer];
    }),
  );
  const failed = answers.find(([, answer]) => answer.kind === 'error');
  if (failed?.[1].kind === 'error') return { ok: false, why: `the client answered: ${failed[1].error.message}` };
  return {
    ok: true,
    responses: Object.fromEntries(answers.flatMap(([key, one]) => (one.kind === 'result' ? [[key, one.result]] : []))),
  };
}

function refusalOf(key: string, question: unknown, client: Client): string | null {
  const method = fieldsOf(question)['method'];
  if (typeof method !== 'string' || !INPUT_METHODS.has(method))
    return `the server asks "${key}", which is no question that the protocol has`;
  const missing = missingFor(questionOf(fieldsOf(question), method), client.capabilities);
  return missing === null ? null : `the client has not declared what ${method} needs`;
}

/** URL mode of 2025-11-25 names each visit; 2026-07-28 does not. */
function legacyQuestion(question: Fields): RequestBody {
  const request = questionOf(question, String(question['method']));
  if (request.params?.['mode'] !== 'url' || request.params['elicitationId'] !== undefined) return request;
  return { ...request, params: { ...request.params, elicitationId: randomUUID() } };
}

function questionOf(question: Fields, method: string): RequestBody {
  const params = question['params'];
  return isFields(params) ? { method, params } : { method };
}
