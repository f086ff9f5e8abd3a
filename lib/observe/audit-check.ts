/** The judgement of one pass over the audit log, line by line. Knows no files, only what it is shown. */

import { type AuditEntry, GENESIS_MAC, type Head, openLine } from './audit-chain.ts';
import type { AuditFileName, Line } from './audit-files.ts';
import type { ProblemKind, VerifyProblem } from './audit-problem.ts';

/** A gap in the sequence, until the lines turn up elsewhere. */
interface Gap {
  readonly index: number;
  readonly fromSeq: number;
  readonly toSeq: number;
  found: number;
}

const MAX_PROBLEMS = 100;

export class ChainCheck {
  readonly #key: Buffer;
  readonly #head: Head | null;
  readonly #expected: Head | null;
  readonly #problems: VerifyProblem[] = [];
  readonly #notes: string[] = [];
  readonly #gaps: Gap[] = [];
  readonly #tornFiles = new Set<string>();
  /** The genuine line with the highest sequence so far. */
  #tip: Head | null = null;
  /** The first genuine line, and how many problems were found before it. */
  #start: {
    readonly seq: number;
    readonly prev: string;
    readonly file: string;
    readonly line: number;
    readonly index: number;
  } | null = null;
  #retained: Head | null = null;
  #file: AuditFileName = { name: '', firstSeq: 1 };
  #firstOfFile = false;
  #lastFile = '';
  #lastNumber = 0;

  lines = 0;
  problemCount = 0;

  constructor(key: Buffer, head: Head | null, expected: Head | null) {
    this.#key = key;
    this.#head = head;
    this.#expected = expected;
  }

  get problems(): readonly VerifyProblem[] {
    return this.#problems;
  }

  get notes(): readonly string[] {
    return this.#notes;
  }

  get fromSeq(): number | null {
    return this.#start?.seq ?? null;
  }

  get toSeq(): number | null {
    return this.#tip?.seq ?? null;
  }

  /** A problem that is about a whole file. */
  whole(kind: ProblemKind, file: string, message: string): void {
    this.#add({ kind, file, line: null, seq: null, message });
  }

  /** The lines that follow are of this file. */
  file(file: AuditFileName): void {
    this.#file = file;
    this.#firstOfFile = true;
    this.#lastFile = `audit/${file.name}`;
    this.#lastNumber = 0;
  }

  line(line: Line, isLastFile: boolean): void {
    this.#lastNumber = line.number;
    if (!line.terminated) {
      this.#unfinished(line, isLastFile);
      return;
    }
    if (line.tooLong) {
      this.#at(line, 'malformed', null, 'longer than any entry');
      return;
    }
    const opened = openLine(this.#key, line.bytes);
    if (opened.ok) this.#place(line, opened.entry);
    else this.#at(line, opened.kind, null, opened.reason);
    this.#firstOfFile = false;
  }

  /** After the last line. */
  end(tornFiles: readonly string[]): void {
    this.#checkStart();
    for (const name of tornFiles) {
      if (!this.#tornFiles.has(name)) this.whole('foreign_file', `audit/${name}`, 'no entry of the log tells of it');
    }
    this.#checkEnd(this.#head, 'the head');
    this.#checkEnd(this.#expected, 'the daemon');
  }

  #place(line: Line, entry: AuditEntry): void {
    const { seq, mac, prev } = entry;
    const tip = this.#tip;
    if (this.#firstOfFile && seq !== this.#file.firstSeq) {
      this.#at(line, 'file_renamed', seq, `the name says line ${this.#file.firstSeq}, the first line is ${seq}`);
    }
    if (tip === null) {
      this.#start = { seq, prev, file: this.#lastFile, line: line.number, index: this.#problems.length };
      this.#advance(line, entry);
    } else if (seq <= tip.seq) {
      this.#late(line, seq);
    } else {
      if (seq > tip.seq + 1) this.#gap(line, tip.seq + 1, seq);
      else if (prev !== tip.mac)
        this.#at(line, 'broken_chain', seq, `does not follow the line ${tip.seq} that is there`);
      this.#advance(line, entry);
    }
    for (const known of [this.#head, this.#expected]) {
      if (known?.seq !== seq || known.mac === mac) continue;
      this.#at(line, 'head_mismatch', seq, 'the head tells of another line with this sequence');
    }
  }

  #advance(line: Line, entry: AuditEntry): void {
    this.#tip = { seq: entry.seq, mac: entry.mac };
    this.lines += 1;
    if (entry.kind === 'retention') this.#retained = { seq: entry.toSeq, mac: entry.lastMac };
    if (entry.kind === 'lost') {
      this.#note(`line ${entry.seq}: ${entry.count} entries could not be written (${entry.reason})`);
    }
    if (entry.kind === 'daemon' && entry.event === 'audit_repair') this.#repaired(line, entry.seq, entry.detail);
  }

  /** A genuine line below the tip: one of a gap that stands in the wrong place, or one that was there already. */
  #late(line: Line, seq: number): void {
    const gap = this.#gaps.find(({ fromSeq, toSeq }) => seq >= fromSeq && seq <= toSeq);
    if (gap === undefined) {
      const before = this.#start !== null && seq < this.#start.seq;
      this.#at(
        line,
        before ? 'reordered' : 'duplicated',
        seq,
        before ? 'belongs before the first line' : 'stands there already',
      );
      return;
    }
    gap.found += 1;
    if (gap.found <= gap.toSeq - gap.fromSeq) return;
    const problem = this.#problems[gap.index];
    if (problem === undefined) return;
    const range = rangeText(gap.fromSeq, gap.toSeq);
    this.#problems[gap.index] = { ...problem, kind: 'reordered', message: `stands before ${range} instead of after` };
  }

  #gap(line: Line, fromSeq: number, seq: number): void {
    const whole = this.#firstOfFile ? ' (the end of the file before, or a whole file)' : '';
    this.#at(line, 'missing', fromSeq, `${rangeText(fromSeq, seq - 1)} missing before this one${whole}`);
    const index = this.#problems.length - 1;
    if (this.#problemKept()) this.#gaps.push({ index, fromSeq, toSeq: seq - 1, found: 0 });
  }

  #repaired(line: Line, seq: number, detail: Readonly<Record<string, unknown>>): void {
    const problem = detail['problem'];
    if (problem === 'torn_line') {
      if (typeof detail['movedTo'] === 'string') this.#tornFiles.add(detail['movedTo']);
      this.#note(`line ${seq}: an unfinished line in ${String(detail['file'])} was cut off after a crash`);
    } else if (problem === 'head_missing' || problem === 'head_forged' || problem === 'head_mismatch') {
      // The lines before cannot show it: whatever was cut off at their end is known to nobody.
      this.#at(line, problem, seq, 'so it was when the daemon opened the log: lines before may have been cut off');
    }
    // All else (missing lines, an invalid last line, another key) shows in the lines themselves.
  }

  /** A rest without line break: what a crash leaves, when the head does not know it; else the end was cut. */
  #unfinished(line: Line, isLastFile: boolean): void {
    const known = this.#head !== null && this.#head.seq > (this.#tip?.seq ?? 0);
    if (isLastFile && !known)
      this.#note(`${this.#lastFile}:${line.number}: unfinished, as after a crash or while writing`);
    else this.#at(line, 'torn', null, 'the end of this line is missing');
  }

  #checkStart(): void {
    const start = this.#start;
    if (start === null) return;
    const { seq, prev, file, line } = start;
    const retained = this.#retained ?? { seq: 0, mac: GENESIS_MAC };
    if (seq - 1 > retained.seq) {
      const message = `${rangeText(retained.seq + 1, seq - 1)} missing before this one`;
      this.#insert(start.index, { kind: 'missing', file, line, seq: retained.seq + 1, message });
    } else if (seq - 1 === retained.seq && prev !== retained.mac) {
      this.#insert(start.index, {
        kind: 'broken_chain',
        file,
        line,
        seq,
        message: `does not follow line ${retained.seq}`,
      });
    }
  }

  #checkEnd(known: Head | null, who: string): void {
    const last = this.#tip?.seq ?? 0;
    if (known === null || known.seq <= last) return;
    const file = this.#lastFile === '' ? 'audit' : this.#lastFile;
    const message = `${rangeText(last + 1, known.seq)} missing at the end: ${who} knows of line ${known.seq}`;
    this.#add({
      kind: 'cut_off',
      file,
      line: this.#lastFile === '' ? null : this.#lastNumber + 1,
      seq: last + 1,
      message,
    });
  }

  #at(line: Line, kind: ProblemKind, seq: number | null, message: string): void {
    this.#add({ kind, file: this.#lastFile, line: line.number, seq, message });
  }

  #note(text: string): void {
    if (this.#notes.length < MAX_PROBLEMS) this.#notes.push(text);
  }

  #problemKept(): boolean {
    return this.problemCount <= MAX_PROBLEMS;
  }

  #add(problem: VerifyProblem): void {
    this.problemCount += 1;
    if (this.#problemKept()) this.#problems.push(problem);
  }

  /** Only after the last line: gaps remember the index of their problem. */
  #insert(index: number, problem: VerifyProblem): void {
    this.problemCount += 1;
    this.#problems.splice(index, 0, problem);
    if (this.#problems.length > MAX_PROBLEMS) this.#problems.pop();
  }
}

function rangeText(fromSeq: number, toSeq: number): string {
  return fromSeq === toSeq ? `line ${fromSeq}` : `lines ${fromSeq} to ${toSeq}`;
}
