/** What a run holds, piece by piece. */

import { z } from 'zod';
import type { FileView, ProcessView, SocketView } from '../../../lib/os/inspector.ts';
import { component } from '../view-schema.ts';
import { count, reading } from './atoms.ts';

export const processOfRun = component<ProcessView & { readonly run: string }>(
  'Process',
  'One process of a run.',
)(
  z.object({
    run: z.string(),
    pid: z.number().int(),
    ppid: z.number().int(),
    startTicks: z.number().describe('clock ticks since boot'),
    name: z.string(),
    state: z.string(),
    memory: reading,
    cpuTimeMs: z.number(),
    fileHandles: reading,
    sockets: reading,
    threads: count,
  }),
);

export const socketOfRun = component<SocketView & { readonly run: string }>(
  'Socket',
  'One socket that a run holds open.',
)(
  z.object({
    run: z.string(),
    pid: z.number().int(),
    fd: z.number().int(),
    inode: z.number(),
    kind: z.string(),
    state: z.string().nullable().describe('TCP state, RFC 9293'),
    local: z.string().nullable(),
    remote: z.string().nullable(),
  }),
);

export const fileOfRun = component<FileView & { readonly run: string }>(
  'OpenFile',
  'One open file descriptor of a run.',
)(
  z.object({
    run: z.string(),
    pid: z.number().int(),
    fd: z.number().int(),
    kind: z.string(),
    target: z.string(),
    deleted: z.boolean(),
  }),
);
