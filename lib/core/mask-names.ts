/** Which names of flags, variables, headers and fields say that their value is a secret. */

const SECRET =
  /key|token|secret|password|passwd|passphrase|pwd|auth|credential|bearer|cookie|private|signature|dsn|jwt|connectionstring/;
const SECRET_WORD = /(^|[^a-z])(pass|pat|otp)([^a-z]|$)/;
/** Ordinary words that only look like the ones above. */
const HARMLESS = /keyboard|keywords?|keymap|keyframes?|monkey|tokenizer|maxtokens|authors?(?![a-z])/g;

/** Case, camelCase, dashes, dots and underscores do not matter: `--apiKey`, `API_KEY`, `x-api-key`. */
export function isSecretName(name: string): boolean {
  const words = name.replaceAll(/([a-z0-9])([A-Z])/g, '$1-$2').toLowerCase();
  const joined = words.replaceAll(/[-_.\s]+/g, '').replaceAll(HARMLESS, '');
  return SECRET.test(joined) || SECRET_WORD.test(words);
}
