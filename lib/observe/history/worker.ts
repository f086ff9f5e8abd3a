/** The worker thread: a Keeper, and its messages. Nothing of it is in the way of a sample. */

import { parentPort, workerData } from 'node:worker_threads';
import type { OpenConnection } from './database.ts';
import { Keeper } from './keeper.ts';
import type { FromWorker, ToWorker, WorkerStart } from './messages.ts';

const port = parentPort;
if (port === null) throw new Error('this is the worker of history.ts');

const say = (message: FromWorker, transfer: readonly ArrayBuffer[] = []): void => port.postMessage(message, transfer);
// Not at the top: where its binary is missing, the daemon hears why.
const { default: Libsql } = await import('libsql');
const open: OpenConnection = (path) => new Libsql(path);
const keeper = new Keeper({
  ...(workerData as WorkerStart),
  open,
  onNote: (note) => say({ kind: 'note', note }),
  onStatus: (status) => say({ kind: 'status', status }),
});

port.on('message', (message: ToWorker) => {
  switch (message.kind) {
    case 'post':
      keeper.take(message.post);
      return say({ kind: 'buffer', buffer: message.post.buffer }, [message.post.buffer]);
    case 'ask':
      return say({ kind: 'answer', id: message.id, answer: keeper.ask(message.question) });
    case 'close':
      keeper.close();
      say({ kind: 'closed' });
      return port.close();
  }
});
