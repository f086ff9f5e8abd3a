/** One run in a PID namespace. */

import type { ProcessIdentity } from '../../core/identity.ts';
import type { ContainmentRecord } from '../backend.ts';
import { ProcfsContainment, type ProcfsContainmentOptions } from '../procfs/containment.ts';
import { innermostPid, readChildPidNamespace, readPidNamespace } from '../procfs/namespace.ts';
import { signalProcess } from '../procfs/signal.ts';
import { sameProcess } from '../procfs/stat.ts';

export class PidnsContainment extends ProcfsContainment {
  readonly #words: readonly string[];
  /** The process that becomes unshare(1): it stays outside of the namespace and waits for its first process. */
  #outer: ProcessIdentity | null = null;

  constructor(options: ProcfsContainmentOptions, words: readonly string[]) {
    super(options);
    this.#words = words;
  }

  override get record(): ContainmentRecord {
    const namespace = this.#namespace();
    const record = { backend: 'pidns', directories: [], cookie: this.run.cookie } as const;
    return namespace === null ? record : { ...record, pidNamespace: namespace };
  }

  override get wrap(): readonly string[] {
    return this.#words;
  }

  override async attach(identity: ProcessIdentity): Promise<void> {
    this.#outer = identity;
    await super.attach(identity);
  }

  /**
   * Once the namespace is known nobody hides: whoever is born in it stays in it, or below it. A tool that ended before
   * it was known took the process outside along, which waits for the namespace's first process, or pulls it down.
   */
  protected override get exact(): boolean {
    return this.#namespace() !== null || (this.#outer !== null && !sameProcess(this.#outer));
  }

  protected override beforeScan(): void {
    this.#namespace();
  }

  protected override members(): readonly ProcessIdentity[] {
    this.#namespace();
    return super.members();
  }

  /**
   * The end of the namespace's first process is everybody's. The process outside goes too, so
   * that nothing is started in case it had not come so far yet. Then the rounds of plain /proc, for that case.
   */
  protected override async kill(): Promise<void> {
    const namespace = this.#namespace();
    const inside = this.members().filter((member) => readPidNamespace(member.pid) === namespace);
    const first = namespace === null ? undefined : inside.find((member) => innermostPid(member.pid) === 1);
    // The one outside before: unshare(1) that sees its child killed complains on the tool's stderr and ends with 1.
    if (this.#outer !== null) signalProcess(this.#outer, 'SIGKILL');
    if (first !== undefined) signalProcess(first, 'SIGKILL');
    await super.kill();
  }

  /** Looked for until it is there: it comes to be some milliseconds after the attached process called unshare(1). */
  #namespace(): number | null {
    const known = this.run.pidNamespace;
    if (known !== null || this.#outer === null || !sameProcess(this.#outer)) return known;
    const inode = readChildPidNamespace(this.#outer.pid);
    if (inode === null || inode === readPidNamespace(this.#outer.pid)) return null;
    this.scanner.learnNamespace(this.run, inode);
    return inode;
  }
}
