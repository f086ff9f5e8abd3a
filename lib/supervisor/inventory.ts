import type { Inventory } from '../core/audit-record.ts';
import type { Run } from './run.ts';

/**
 * What the run holds right now, by kind; kinds that cannot be read are left out.
 * @param fresh look at its processes anew; files in its temp dir are as last counted: who deletes them counts them anyway
 */
export function inventoryOf(run: Run, fresh: boolean): Inventory {
  const sample = run.judge.look(fresh && 'processes');
  const processes = run.init.containment.membership.members().length;
  const inventory: Record<string, number> = { processes };
  const add = (kind: string, reading: { kind: string; value?: number; inodes?: number }): void => {
    if (reading.kind === 'measured' && reading.value !== undefined) inventory[kind] = reading.value;
  };
  add('memory_bytes', sample.memory);
  add('file_handles', sample.fileHandles);
  add('sockets', sample.sockets);
  add('temp_bytes', sample.tempStorage);
  if (sample.tempStorage.kind === 'measured' && sample.tempStorage.inodes !== undefined)
    inventory['temp_files'] = sample.tempStorage.inodes;
  const handles = processes === 0 ? 0 : (run.channel?.handles ?? 0);
  if (handles > 0) inventory['handles'] = handles;
  inventory['cgroups'] = run.init.containment.record.directories.length;
  return inventory;
}
