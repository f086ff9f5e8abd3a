/** Ties a zod schema to the TypeScript interface that it describes, so that neither can change without the other. */

import { z } from 'zod';

type DeepReadonly<T> = unknown extends T
  ? T
  : T extends readonly (infer Item)[]
    ? readonly DeepReadonly<Item>[]
    : T extends object
      ? { readonly [Key in keyof T]: DeepReadonly<T[Key]> }
      : T;

/** Exact, where mutual assignability would let optional fields differ. */
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- T is what makes the comparison exact
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

/** The build fails here when schema and view differ in any field, also an optional one. */
type Checked<View, Schema extends z.ZodType> =
  Same<DeepReadonly<z.output<Schema>>, DeepReadonly<View>> extends true
    ? Schema
    : { readonly 'the schema is not the view': [DeepReadonly<z.output<Schema>>, DeepReadonly<View>] };

/** Call as `viewOf<ToolView>()(z.object({ … }))`. What the schema does not name never leaves the daemon. */
export function viewOf<View>(): <Schema extends z.ZodType>(schema: Checked<View, Schema>) => z.ZodType<View> {
  return (schema) => schema as unknown as z.ZodType<View>;
}

/** The same as a named component of the OpenAPI document. */
export function component<View>(
  id: string,
  description: string,
): <Schema extends z.ZodType>(schema: Checked<View, Schema>) => z.ZodType<View> {
  return (schema) => (schema as unknown as z.ZodType<View>).meta({ id, description });
}
