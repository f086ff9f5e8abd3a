/** The seven resources a tool is held to, their units and their fixed order. Pure data. */

export const RESOURCES = ['memory', 'cpu', 'file_handles', 'sockets', 'runtime', 'temp_storage', 'tasks'] as const;

export type Resource = (typeof RESOURCES)[number];

/** `percent` is percent of one core; `ms` is milliseconds of monotonic time. */
export type Unit = 'bytes' | 'percent' | 'count' | 'ms';

export const UNIT: Readonly<Record<Resource, Unit>> = {
  memory: 'bytes',
  cpu: 'percent',
  file_handles: 'count',
  sockets: 'count',
  runtime: 'ms',
  temp_storage: 'bytes',
  tasks: 'count',
};

/** Resources whose usage can only grow within one activation, so their stages are one-way. */
export const ONE_WAY: ReadonlySet<Resource> = new Set<Resource>(['runtime']);

export function isResource(value: string): value is Resource {
  return (RESOURCES as readonly string[]).includes(value);
}
