/** More texts than the program has; only filters and lists of ids of every length come to so many. */
const MOST = 300;

/**
 * Names for prepared statements: Postgres parses and plans a named one once for each connection, which costs more than most of
 * ours take to run. Those beyond the first so many are not named (''), so that no connection keeps plans without end.
 */
export function statementNames(): (statement: { sql: string }) => string {
  const names = new Map<string, string>();
  return ({ sql }) => {
    const known = names.get(sql);
    if (known !== undefined) return known;
    if (names.size >= MOST) return '';
    const name = `amalgam_${names.size}`;
    names.set(sql, name);
    return name;
  };
}
