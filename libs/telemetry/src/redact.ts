const CENSORED = '[redacted]';

/**
 * Keys whose values are secrets, wherever they stand in a log line: headers of a request, options of a driver,
 * fields of an error. The name may have a prefix (`webhook_secret`, `proxy-authorization`, `accessToken`).
 */
const SECRET_KEYS = [
  'authorization',
  'cookie',
  'credentials?',
  'passw(?:or)?d',
  'passphrase',
  'secrets?',
  'token',
  'api[-_]?key',
  'access[-_]?key',
  'private[-_]?key',
  'webhook-signature',
];

const STRING = '"(?:[^"\\\\]|\\\\.)*"';
// Flat lists and objects are enough: deeper values of such keys end in one of the other shapes.
const VALUE = `(?:${STRING}|\\[[^\\[\\]{}]*\\]|\\{[^\\[\\]{}]*\\}|[^\\s,"\\[\\]{}]+)`;
const KEYED = new RegExp(`"([\\w.-]*(?:${SECRET_KEYS.join('|')}))":(?!null)${VALUE}`, 'gi');

/** Secrets that give themselves away inside longer texts: URLs, messages, bodies. */
const SHAPES: [pattern: RegExp, replacement: string][] = [
  [/whsec_[A-Za-z0-9+/=]+/g, `whsec_${CENSORED}`],
  [/\b(Bearer|Basic) [A-Za-z0-9._~+/=-]{12,}/gi, `$1 ${CENSORED}`],
  [/:\/\/([^\s/:@"]*):[^\s/@"]+@/g, `://$1:${CENSORED}@`],
  [/([?&](?:[\w-]*(?:token|secret|signature|password|key)|sig)=)[^&\s"#\\]+/gi, `$1${CENSORED}`],
];

/** Takes the secrets out of one JSON log line; what comes back is valid JSON. */
export function redactLine(line: string): string {
  let redacted = line.replace(KEYED, `"$1":"${CENSORED}"`);
  for (const [pattern, replacement] of SHAPES) redacted = redacted.replace(pattern, replacement);
  return redacted;
}
