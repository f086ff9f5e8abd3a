/** YAML text to a plain value that still knows where each part of it was written. */

import type { Alias, Document, Node, YAMLMap } from 'yaml';
import { err, ok } from '../lib/core/result.ts';
import type { Result } from '../lib/core/result.ts';
import type { Problem, Where } from '../lib/core/errors.ts';
import type { Locate, Path } from './problems.ts';
import { pointerOf } from './problems.ts';
import { quote } from './notation.ts';
import { placeAfter } from './read-file.ts';
import { yaml } from './yaml.ts';
import { yamlProblem } from './yaml-problem.ts';

/** Values that all aliases together stand for: aliases of aliases would otherwise grow without end. */
const MAX_ALIASED = 10_000;
/** What the parser needs for each: together with the size, seconds at the very most. Ten thousand tools need half of it. */
const MAX_LEXEMES = 250_000;
const MAX_DEPTH = 32;

export interface LocatedDocument {
  readonly value: unknown;
  /** Mistakes that leave the rest readable: keys given twice, merge keys, unknown tags. */
  readonly problems: readonly Problem[];
  readonly locate: Locate;
  /** Where the n-th (from 0) occurrence of `text` in the scalar at `path` is written; its start when not found. */
  readonly locateIn: (path: Path, text: string, occurrence: number) => Where;
}

interface Place {
  readonly key: number | null;
  readonly value: number;
  readonly end: number;
}

/**
 * @param file name for messages
 * @returns all of a document that can be read, or the one reason why it cannot
 */
export function readDocument(source: string, file: string): Result<LocatedDocument, readonly Problem[]> {
  const lines = new (yaml().LineCounter)();
  const whereOf = (offset: number): Where => {
    const { line, col } = lines.linePos(offset);
    return { file, line, column: col };
  };
  const refuse = (offset: number, message: string, hint: string): Result<never, readonly Problem[]> =>
    err([{ where: whereOf(offset), message, hint }]);

  const bulk = tooMuch(source);
  if (bulk !== null) {
    const [offset, message, hint] = bulk;
    return err([{ where: placeAfter(source.slice(0, offset), file), message, hint }]);
  }
  let document: Document.Parsed;
  try {
    document = yaml().parseDocument(source, {
      lineCounter: lines,
      prettyErrors: false,
      uniqueKeys: false,
      version: '1.2',
      schema: 'core',
      merge: false,
      stringKeys: false,
      // `silent` would also silence the error about a second document; nothing is printed either way.
      logLevel: 'error',
    });
  } catch (error) {
    // The parser recurses; hostile nesting ends in a stack overflow.
    if (error instanceof RangeError)
      return err([{ where: { file }, message: 'is nested too deeply', hint: `at most ${MAX_DEPTH} levels` }]);
    throw error;
  }
  const firstError = document.errors[0];
  // Only the first: what the parser says after it is mostly a consequence.
  if (firstError !== undefined) return err([yamlProblem(firstError, source, whereOf)]);
  if (document.contents === null || isEmpty(document.contents)) {
    return err([{ where: { file, line: 1, column: 1 }, message: 'the file is empty', hint: 'start with version: 1' }]);
  }

  const reader = new Reader(whereOf);
  for (const warning of document.warnings) reader.problems.push(yamlProblem(warning, source, whereOf));
  const value = reader.read(document.contents, [], null, 0);
  if (reader.overflow !== null) return refuse(...reader.overflow);
  // What a merge key would have brought is missing everywhere below; saying so as well would only confuse.
  if (reader.mergeKeys.length > 0) return err(reader.mergeKeys);
  const { places, problems } = reader;
  const placeOf = (path: Path): Place | undefined => places.get(pointerOf(path));
  return ok({
    value,
    problems,
    locate(path, at) {
      for (let length = path.length; length >= 0; length -= 1) {
        const place = placeOf(path.slice(0, length));
        if (place === undefined) continue;
        const wantsKey = at === 'key' || length < path.length;
        return whereOf(wantsKey && place.key !== null ? place.key : place.value);
      }
      return { file };
    },
    locateIn(path, text, occurrence) {
      const place = placeOf(path);
      if (place === undefined) return { file };
      let offset = place.value - 1;
      for (let found = -1; found < occurrence; found += 1) {
        offset = source.indexOf(text, offset + 1);
        if (offset === -1 || offset >= place.end) return whereOf(place.value);
      }
      return whereOf(offset);
    },
  });
}

const LEXER_MARKS: ReadonlySet<string> = new Set(['\u0002', '\u0018', '\u001f']);

/** Looked at before parsing, which takes long for text that is all punctuation. */
function tooMuch(source: string): readonly [number, string, string] | null {
  let lexemes = 0;
  let depth = 0;
  let offset = 0;
  for (const lexeme of new (yaml().Lexer)().lex(source)) {
    lexemes += 1;
    if (lexemes > MAX_LEXEMES) return [0, 'is too much', 'a limits.yaml is a page or two'];
    if (lexeme === '[' || lexeme === '{') depth += 1;
    else if (lexeme === ']' || lexeme === '}') depth -= 1;
    if (depth > MAX_DEPTH)
      return [Math.min(offset, source.length), 'is nested too deeply', `at most ${MAX_DEPTH} levels`];
    // Marks of the lexer itself are control characters, which the text has none of.
    if (!LEXER_MARKS.has(lexeme)) offset += lexeme.length;
  }
  return null;
}

class Reader {
  readonly places = new Map<string, Place>();
  readonly problems: Problem[] = [];
  readonly mergeKeys: Problem[] = [];
  overflow: readonly [number, string, string] | null = null;
  readonly #whereOf: (offset: number) => Where;
  readonly #open = new Set<Node>();
  readonly #anchors = new Map<string, Node>();
  readonly #targets = new Map<Alias, Node>();
  #aliased = 0;
  /** Where the alias is written that is being read, and not one behind it. */
  #outermost = 0;

  constructor(whereOf: (offset: number) => Where) {
    this.#whereOf = whereOf;
  }

  read(node: Node | null, path: Path, key: number | null, at: number): unknown {
    const start = node?.range?.[0] ?? at;
    const place = { key, value: isAbsent(node) ? (key ?? start) : start, end: node?.range?.[1] ?? start };
    this.places.set(pointerOf(path), place);
    if (this.overflow !== null || node === null) return null;
    const aliased = this.#open.size > 0;
    if (aliased) this.#aliased += 1;
    else if (!yaml().isAlias(node) && node.anchor !== undefined) this.#anchors.set(node.anchor, node);
    if (this.#aliased > MAX_ALIASED)
      return this.#stop(this.#outermost, 'aliases stand for too much', `at most ${MAX_ALIASED} values`);
    if (path.length > MAX_DEPTH) return this.#stop(start, 'is nested too deeply', `at most ${MAX_DEPTH} levels`);
    if (yaml().isScalar(node)) return node.value;
    if (yaml().isAlias(node)) return this.#alias(node, path, place);
    if (yaml().isSeq(node))
      return node.items.map((item, index) => this.read(item as Node | null, [...path, index], null, start));
    return yaml().isMap(node) ? this.#map(node, path) : null;
  }

  #alias(node: Alias, path: Path, place: Place): unknown {
    // An alias means the anchor that was last defined before it, also where it is met again behind another alias.
    const target = this.#targets.get(node) ?? this.#anchors.get(node.source);
    if (target === undefined)
      return this.#stop(
        place.value,
        `the alias *${node.source} is unknown`,
        `define &${node.source} before, or quote text that begins with *`,
      );
    if (this.#open.has(target))
      return this.#stop(place.value, `the alias *${node.source} contains itself`, 'take it out');
    this.#targets.set(node, target);
    if (this.#open.size === 0) this.#outermost = place.value;
    this.#open.add(target);
    const value = this.read(target, path, place.key, place.value);
    this.#open.delete(target);
    // A mistake in the whole value is shown where it is used.
    this.places.set(pointerOf(path), place);
    return value;
  }

  #map(node: YAMLMap, path: Path): unknown {
    const result: Record<string, unknown> = {};
    const lines = new Map<string, number>();
    for (const pair of node.items) {
      const keyNode = pair.key as Node | null;
      const offset = keyNode?.range?.[0] ?? node.range?.[0] ?? 0;
      const key = yaml().isScalar(keyNode) ? keyOf(keyNode.value, keyNode.source) : null;
      if (key === '<<') {
        this.mergeKeys.push({
          where: this.#whereOf(offset),
          message: 'merge keys (<<) are not supported',
          hint: 'put what tools share in a class',
        });
        continue;
      }
      const refusal = refusedKey(key);
      if (key === null || refusal !== null) {
        this.problems.push({ where: this.#whereOf(offset), ...(refusal ?? KEY_NOT_TEXT) });
        continue;
      }
      const where = this.#whereOf(offset);
      const first = lines.get(key);
      if (first !== undefined) {
        const what = path.length === 1 && path[0] === 'tools' ? 'tool ' : '';
        this.problems.push({
          where,
          message: `${what}${quote(key)} is given twice`,
          hint: `it is on line ${first} already`,
        });
        continue;
      }
      lines.set(key, where.line ?? 0);
      result[key] = this.read(pair.value as Node | null, [...path, key], offset, offset);
    }
    return result;
  }

  #stop(offset: number, message: string, hint: string): null {
    this.overflow ??= [offset, message, hint];
    return null;
  }
}

const KEY_NOT_TEXT = { message: 'a key must be text', hint: 'write name: value' };

function keyOf(value: unknown, source: string | undefined): string | null {
  if (typeof value === 'string') return value;
  // `404:` and `true:` are names as well, as they were written.
  return typeof value === 'number' || typeof value === 'boolean' ? (source ?? String(value)) : null;
}

function refusedKey(key: string | null): { message: string; hint: string } | null {
  if (key === '__proto__') return { message: '"__proto__" is not possible as a key', hint: 'choose another name' };
  return null;
}

function isAbsent(node: Node | null): boolean {
  return node === null || (yaml().isScalar(node) && node.value === null && (node.source ?? '') === '');
}

function isEmpty(node: Node): boolean {
  return yaml().isScalar(node) && node.value === null;
}
