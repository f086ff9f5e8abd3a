/** Where limits come from: entries that were written, the environment, classes and what is built in. */

import type { Problem, Where } from '../lib/core/errors.ts';
import type { Source } from '../lib/core/limits.ts';
import { RESOURCES, isResource } from '../lib/core/resource.ts';
import type { Resource } from '../lib/core/resource.ts';
import { BUILT_IN_CLASSES, DEFAULT_CLASS, builtInClasses } from './defaults.ts';
import type { BuiltInClass, BuiltInClassName, HostFacts } from './defaults.ts';
import type { FileScope } from './file-scope.ts';
import type { Environment } from './interpolate.ts';
import { quote, word } from './notation.ts';
import { parseLimit } from './limit-schema.ts';
import type { LimitValue } from './limit-schema.ts';
import type { Layer, LayerLimit } from './resolve.ts';
import type { ClassFields } from './schema.ts';
import type { CallsFields } from './serving-schema.ts';
import { suggestion } from './suggest.ts';

export type WrittenLimits = Readonly<Partial<Record<Resource, LimitValue | undefined>>>;

export function fileLayer(path: readonly string[], limits: WrittenLimits, { document, shortPlace }: FileScope): Layer {
  return writtenLayer(limits, (resource) => ({
    from: 'file',
    detail: shortPlace(document.locate([...path, 'limits', resource], 'value')),
  }));
}

export function writtenLayer(limits: WrittenLimits, sourceOf: (resource: Resource) => Source): Layer {
  const layer: Partial<Record<Resource, LayerLimit>> = {};
  for (const resource of RESOURCES) {
    const value = limits[resource];
    if (value === undefined) continue;
    const { limit, inodes, backing, renew, cap, adaptive, reason } = value;
    layer[resource] = {
      limit,
      ...(inodes === undefined ? {} : { inodes }),
      ...(backing === undefined ? {} : { backing }),
      ...(renew === undefined ? {} : { renew }),
      ...(cap === undefined ? {} : { capMs: cap }),
      ...(adaptive === undefined ? {} : { adaptive }),
      ...(reason === undefined ? {} : { reason }),
      source: sourceOf(resource),
    };
  }
  return layer;
}

const PREFIX = 'GOVERNOR_LIMIT_';

/** `GOVERNOR_LIMIT_MEMORY=512MiB`: a limit for every tool, stronger than the file. */
export function environmentLayer(environment: Environment): {
  readonly layer: Layer;
  readonly problems: readonly Problem[];
} {
  const layer: Partial<Record<Resource, LayerLimit>> = {};
  const problems: Problem[] = [];
  for (const name of Object.keys(environment)
    .filter((key) => key.startsWith(PREFIX))
    .sort()) {
    const resource = name.slice(PREFIX.length).toLowerCase();
    if (!isResource(resource) || name !== PREFIX + resource.toUpperCase()) {
      const known = RESOURCES.map((each) => PREFIX + each.toUpperCase());
      problems.push({
        message: `environment variable ${name} is not known`,
        hint: suggestion(name, known, 'known variables'),
      });
      continue;
    }
    const parsed = parseLimit(resource, environment[name]);
    if (!parsed.ok)
      problems.push({ message: `environment variable ${name}: ${parsed.error.message}`, hint: parsed.error.hint });
    else layer[resource] = { limit: parsed.value, source: { from: 'environment', detail: name } };
  }
  return { layer, problems };
}

/** One class, ready to be put below the limits of a tool. */
export interface ClassDefinition {
  readonly name: string;
  /** Strongest first: the class itself, what it extends, the built-in one at the end. */
  readonly layers: readonly Layer[];
  /** Its own, and what it does not say of what it extends. */
  readonly calls: CallsFields;
}

export interface WrittenClass {
  readonly fields: ClassFields;
  /** Position of a limit, short: `limits.yaml:12:7`. */
  readonly placeOf: (resource: Resource) => string;
}

/**
 * Chains each class to what it extends. `extendsOf` must be free of circles (`extendsProblems`); a class that cannot be
 * resolved is left out.
 */
export function resolveClasses(
  written: ReadonlyMap<string, WrittenClass>,
  host: HostFacts,
): ReadonlyMap<string, ClassDefinition> {
  const builtIn = new Map(Object.entries(builtInClasses(host)));
  const classes = new Map<string, ClassDefinition>();
  for (const [name, limits] of builtIn) classes.set(name, { name, layers: [builtInLayer(name, limits)], calls: {} });
  const foundation = (name: string): readonly Layer[] => {
    const base = isBuiltIn(name) ? name : DEFAULT_CLASS;
    return [builtInLayer(base, builtIn.get(base) ?? {})];
  };
  const layersOf = (name: string, seen: readonly string[]): readonly Layer[] | null => {
    const entry = written.get(name);
    if (entry === undefined) return isBuiltIn(name) ? foundation(name) : null;
    if (seen.includes(name)) return null;
    const parent = entry.fields.extends;
    const below = parent === undefined ? foundation(name) : layersOf(parent, [...seen, name]);
    if (below === null) return null;
    const source = (resource: Resource): Source => ({
      from: 'class',
      detail: `class ${name} (${entry.placeOf(resource)})`,
    });
    return [writtenLayer(entry.fields, source), ...below];
  };
  const callsOf = (name: string): CallsFields => {
    const fields = written.get(name)?.fields;
    if (fields === undefined) return {};
    return { ...(fields.extends === undefined ? {} : callsOf(fields.extends)), ...given(fields.calls ?? {}) };
  };
  for (const name of written.keys()) {
    const layers = layersOf(name, []);
    if (layers !== null) classes.set(name, { name, layers, calls: callsOf(name) });
  }
  return classes;
}

/** Without what is not there, so that it does not hide what is below. */
export function given<Fields extends object>(fields: Fields): Fields {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Fields;
}

/** Unknown classes and circles in `extends`, each circle once, at the class of it that comes first in the file. */
export function extendsProblems(
  extendsOf: ReadonlyMap<string, string | null>,
  whereOf: (name: string) => Where,
): readonly Problem[] {
  const problems: Problem[] = [];
  const told = new Set<string>();
  for (const [name, parent] of extendsOf) {
    if (parent === null) continue;
    if (!extendsOf.has(parent) && !isBuiltIn(parent)) {
      problems.push({ where: whereOf(name), ...unknownClass('extends', parent, [...extendsOf.keys()]) });
      continue;
    }
    const circle = circleFrom(name, extendsOf);
    if (circle === null || told.has(name)) continue;
    for (const member of circle) told.add(member);
    problems.push({
      where: whereOf(name),
      message: `extends: classes go in a circle: ${[...circle, name].map(word).join(' → ')}`,
      hint: 'let one of them extend nothing, or light, standard or heavy',
    });
  }
  return problems;
}

export function unknownClass(key: string, name: string, written: readonly string[]): { message: string; hint: string } {
  const known = [...new Set([...BUILT_IN_CLASSES, ...written])];
  return { message: `${key}: there is no class ${quote(name)}`, hint: suggestion(name, known, 'classes') };
}

export function isBuiltIn(name: string): name is BuiltInClassName {
  return (BUILT_IN_CLASSES as readonly string[]).includes(name);
}

function builtInLayer(name: string, limits: BuiltInClass): Layer {
  const layer: Partial<Record<Resource, LayerLimit>> = {};
  for (const resource of RESOURCES) {
    const limit = limits[resource];
    if (limit === undefined) continue;
    const { detail, ...amounts } = limit;
    layer[resource] = { ...amounts, source: { from: 'built-in', detail: `class ${name}: ${detail}` } };
  }
  return layer;
}

/** The circle that `start` is part of, from `start` on, or null. */
function circleFrom(start: string, extendsOf: ReadonlyMap<string, string | null>): readonly string[] | null {
  const path: string[] = [];
  let current: string | null | undefined = start;
  while (current !== null && current !== undefined && !path.includes(current)) {
    path.push(current);
    current = extendsOf.get(current);
  }
  return current === start ? path : null;
}
