/**
 * The one schema: it validates limits.yaml and REST bodies, gives the types, and is what editors and OpenAPI are told.
 * A key is here only when this version enforces it.
 */

import { z } from 'zod';
import { DaemonSchema } from './daemon-schema.ts';
import { argument, closed, duration, text } from './fields.ts';
import type { NotEnforced } from './fields.ts';
import { ADAPTIVE_PLACE, LIMITS_SHAPE, LimitsSchema, SharedLimitsSchema } from './limit-schema.ts';
import { RemoteToolSchema } from './remote-schema.ts';
import { AUTOSTART, CALLS, LEAKS, READY_TIMEOUT, RECOVERY, SHARING_SHAPE } from './serving-schema.ts';
import { ActionsSchema, LadderSchema, StagesSchema } from './ladder-schema.ts';

/** Words that belong elsewhere, as values. */
export const NOT_ENFORCED_VALUES: NotEnforced = {
  degrade: 'degrade is a strategy of recovery',
};

const NOT_ENFORCED_TOOL_KEYS: NotEnforced = {
  adaptive: ADAPTIVE_PLACE,
  contexts: 'limits by context are written under `contexts` at the top level',
};

const COMMAND_SHAPE = {
  command: text({ description: 'The program, looked up in PATH or relative to cwd.' }),
  args: z
    .array(argument({ description: 'One argument, passed on as it is.' }))
    .max(4096)
    .optional()
    .meta({ description: 'Arguments, passed on as they are: no shell, no variables.' }),
  cwd: text({
    maxLength: 4096,
    description:
      'Working directory. In limits.yaml relative to the folder of the file, which is the default; absolute in REST.',
  }).optional(),
};

const SUPERVISION_SHAPE = {
  class: text({
    maxLength: 64,
    description: 'Class that the limits come from: light, standard (default), heavy, or one of `classes`.',
  }).optional(),
  limits: LimitsSchema.optional(),
  stages: StagesSchema.optional(),
  actions: ActionsSchema.optional(),
  ladder: LadderSchema.optional(),
  on_starvation: z.enum(['none', 'recycle']).optional().meta({
    description:
      'What to do with a tool that its CPU quota starves (held back over half of the time for 60 s). Default none.',
  }),
  recovery: RECOVERY.optional(),
  grace: duration(
    { description: 'How long the tool may take to end by itself when it is stopped. Default 5s.' },
    { min: 1, max: 3_600_000 },
  ).optional(),
  ready_timeout: READY_TIMEOUT.optional(),
  readiness: z.enum(['mcp', 'none']).optional().meta({
    description:
      'mcp (default): ready when the handshake of the protocol and the list of its tools succeeded. none: ready when started.',
  }),
  ...SHARING_SHAPE,
  calls: CALLS.optional().meta({ description: 'What waits where new calls are held back (queue_calls).' }),
  leaks: LEAKS.optional().meta({ description: 'When growth is a leak, and what follows from it.' }),
  dry_run: z
    .boolean()
    .optional()
    .meta({ description: 'Decide and record, but do nothing to the tool. Default: that of the daemon.' }),
};

/** Of a tool or a class. An editor is told the plainest part of the rule; `parseToolName` knows all of it. */
function nameKey() {
  return z.string().meta({ pattern: '^[^/]+$' });
}

function environment(description: string) {
  return z.record(z.string(), argument({})).optional().meta({ description });
}

/** One entry of `tools`. */
export const ToolSchema = closed(
  {
    ...COMMAND_SHAPE,
    env: environment(
      'Environment. ${NAME} and ${NAME:-default} are taken from the environment of the daemon; $$ is a dollar.',
    ),
    ...SUPERVISION_SHAPE,
    autostart: AUTOSTART,
  },
  {
    ...NOT_ENFORCED_TOOL_KEYS,
    headers: 'a tool with a command has no headers',
    auth: 'a tool with a command signs in by itself',
  },
);

/** The body of `POST /v1/tools`. */
export const ToolBodySchema = closed(
  {
    name: text({ description: 'Name of the tool: 1 to 64 characters, no slash.' }),
    ...COMMAND_SHAPE,
    env: environment('Environment, taken literally.'),
    ...SUPERVISION_SHAPE,
  },
  {
    ...NOT_ENFORCED_TOOL_KEYS,
    url: 'servers elsewhere are defined in limits.yaml only',
    headers: 'servers elsewhere are defined in limits.yaml only',
    auth: 'servers elsewhere are defined in limits.yaml only',
    autostart: 'only the tools of limits.yaml start with the daemon',
  },
);

/** What `governor run` makes of its flags and its command: only what a direct run can be held to. */
export const RunBodySchema = closed({
  name: ToolBodySchema.shape.name,
  ...COMMAND_SHAPE,
  class: SUPERVISION_SHAPE.class,
  limits: SUPERVISION_SHAPE.limits,
  grace: SUPERVISION_SHAPE.grace,
  dry_run: SUPERVISION_SHAPE.dry_run,
});

/** One entry of `classes`. */
export const ClassSchema = closed(
  {
    extends: text({
      maxLength: 64,
      description:
        'Class whose limits hold where this one has none. Default: the built-in one of the same name, else standard.',
    }).optional(),
    ...LIMITS_SHAPE,
    calls: CALLS.optional().meta({ description: 'For tools of this class that say nothing themselves.' }),
  },
  { adaptive: ADAPTIVE_PLACE },
);

/** The whole of limits.yaml. */
export const ConfigSchema = closed(
  {
    version: z.literal(1).meta({ description: 'Version of the format of this file.' }),
    daemon: DaemonSchema.optional(),
    classes: z.record(nameKey(), ClassSchema).optional().meta({ description: 'Named sets of limits.' }),
    contexts: z.record(z.string(), SharedLimitsSchema).optional().meta({
      description:
        'Limits for all runs of a context together, by its id; `*` in it stands for any characters, and `default` holds for every context.',
    }),
    tools: z
      .record(nameKey(), z.union([ToolSchema, RemoteToolSchema]))
      .optional()
      .meta({ description: 'Tools by name.' }),
  },
  {
    budget: 'limits for all tools together are written under `daemon`',
    cache: 'the cache is written under `daemon`, and what is kept of a tool under the tool',
    adaptive: ADAPTIVE_PLACE,
  },
);

export type ToolFields = z.infer<typeof ToolSchema>;
export type ToolBody = z.infer<typeof ToolBodySchema>;
export type ToolBodyInput = z.input<typeof ToolBodySchema>;
export type ClassFields = z.infer<typeof ClassSchema>;
export type SharedLimitFields = z.infer<typeof SharedLimitsSchema>;

/** JSON Schema (draft 7, which is what editors read) of limits.yaml. */
export function limitsJsonSchema(): Readonly<Record<string, unknown>> {
  const schema = z.toJSONSchema(ConfigSchema, {
    io: 'input',
    target: 'draft-7',
    reused: 'inline',
    override: ({ jsonSchema }) => {
      // What `closed` refuses by a catch-all, in the form that editors know best.
      const others = jsonSchema.additionalProperties;
      if (typeof others === 'object' && JSON.stringify(others) === '{"not":{}}')
        jsonSchema.additionalProperties = false;
    },
  });
  return { title: 'Governor limits.yaml', description: 'Tools and the limits that Governor holds them to.', ...schema };
}
