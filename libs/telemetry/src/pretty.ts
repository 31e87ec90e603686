/** Keys of every line that are shown in front or not at all. */
const HIDDEN = new Set(['time', 'level', 'msg', 'name', 'pid', 'hostname', 'err']);

/** A JSON log line as one line for people: time, level, name, message, the rest as key=value; then a stack. */
export function prettyLine(line: string): string {
  let fields: Record<string, unknown>;
  try {
    fields = JSON.parse(line) as Record<string, unknown>;
  } catch {
    return line;
  }
  const time = String(fields['time'] ?? '').slice(11, 19);
  const level = String(fields['level'] ?? '')
    .toUpperCase()
    .padEnd(5);
  const rest = Object.entries(fields)
    .filter(([key]) => !HIDDEN.has(key))
    .map(([key, value]) => ` ${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`);
  const error = fields['err'] as { stack?: string; message?: string } | undefined;
  const trace = error === undefined ? '' : `\n${error.stack ?? error.message ?? JSON.stringify(error)}`;
  return `${time} ${level} ${String(fields['name'] ?? '')}: ${String(fields['msg'] ?? '')}${rest.join('')}${trace}\n`;
}
