import type { ErrorCode } from '../../lib/core/errors.ts';

/** What `t.rejects` and `t.throws` compare with. */
export function isGovernorError(code: ErrorCode): { readonly name: 'GovernorError'; readonly code: ErrorCode } {
  return { name: 'GovernorError', code };
}
