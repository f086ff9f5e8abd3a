/**
 * What a run was last seen to use while something of it lived: of a tree that has ended the kernel tells zeros, and how it
 * was when it failed is what people ask for. Samples are written over, so that it is copied; makes no garbage.
 */

import { RESOURCES } from '../core/resource.ts';
import type { Resource } from '../core/resource.ts';
import type { Measured, Reading, Readings } from '../core/usage.ts';
import { unsupported } from '../core/usage.ts';

const NEVER = unsupported('it had ended before it was sampled');

export class LastLived {
  readonly #measured = new Map<Resource, { -readonly [Key in keyof Measured]: Measured[Key] }>();
  readonly #readings: Record<Resource, Reading> = {
    memory: NEVER,
    cpu: NEVER,
    file_handles: NEVER,
    sockets: NEVER,
    runtime: NEVER,
    temp_storage: NEVER,
    tasks: NEVER,
  };

  note(readings: Readings): void {
    for (const resource of RESOURCES) {
      const reading = readings[resource];
      this.#readings[resource] = reading.kind === 'measured' ? this.#copy(resource, reading) : reading;
    }
  }

  get readings(): Readings {
    return this.#readings;
  }

  #copy(resource: Resource, reading: Measured): Measured {
    const known = this.#measured.get(resource);
    if (known !== undefined) return Object.assign(known, reading);
    const copy = { ...reading };
    this.#measured.set(resource, copy);
    return copy;
  }
}
