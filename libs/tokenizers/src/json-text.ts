/** JSON as it is written to a file. Whole numbers beyond 10^21 keep their digits: other readers take `1e+30` for a float. */
export function jsonText(value: unknown): string {
  const text = JSON.stringify(value, null, 2);
  return `${text.replace(/^(\s*"(?:[^"\\]|\\.)*": )(-?[0-9.]+e\+[0-9]+)(,?)$/gm, (_, key, number, comma) => `${key}${BigInt(Number(number))}${comma}`)}\n`;
}
