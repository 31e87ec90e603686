/** Just enough of a reader of schema.prisma to compare it with a database. */
export interface PrismaSchema {
  /** By the name in the database. */
  enums: Map<string, string[]>;
  columns: { table: string; column: string; type: string; nullable: boolean; default: boolean }[];
  /** "table id|unique|index column,column" */
  indexes: string[];
  /** "table.column -> table" */
  foreignKeys: string[];
}

const SCALARS: Record<string, string> = {
  String: 'text',
  Int: 'int4',
  BigInt: 'int8',
  Boolean: 'bool',
  Json: 'jsonb',
  Bytes: 'bytea',
};

export function parseSchema(text: string): PrismaSchema {
  const blocks = [...text.matchAll(/^(model|enum) (\w+) \{\n(.*?)^\}/gms)].map(([, kind, name, body]) => ({
    kind,
    name: name as string,
    lines: (body as string)
      .split('\n')
      .map((line) => line.replace(/\/\/.*/, '').trim())
      .filter(Boolean),
  }));
  const mapped = (lines: string[], name: string) =>
    lines.map((line) => /^@@map\("(\w+)"\)/.exec(line)?.[1]).find(Boolean) ?? name;
  const enums = new Map<string, string[]>();
  const types = new Map<string, string>();
  const tables = new Map<string, string>();
  for (const { kind, name, lines } of blocks) {
    if (kind === 'model') tables.set(name, mapped(lines, name));
    else {
      types.set(name, mapped(lines, name));
      const values = lines.filter((line) => !line.startsWith('@@'));
      enums.set(
        mapped(lines, name),
        values.map((line) => /@map\("([^"]+)"\)/.exec(line)?.[1] ?? line),
      );
    }
  }
  const schema: PrismaSchema = { enums, columns: [], indexes: [], foreignKeys: [] };
  for (const { kind, name, lines } of blocks) {
    if (kind === 'model') parseModel(schema, tables.get(name) as string, lines, tables, types);
  }
  return schema;
}

function parseModel(
  schema: PrismaSchema,
  table: string,
  lines: string[],
  tables: Map<string, string>,
  types: Map<string, string>,
): void {
  const columnOf = new Map<string, string>();
  for (const line of lines) {
    const [, field, type, mark = ''] = /^(\w+)\s+(\w+)(\?|\[\])?/.exec(line) ?? [];
    if (field === undefined || type === undefined || tables.has(type)) continue;
    const column = /@map\("(\w+)"\)/.exec(line)?.[1] ?? field;
    columnOf.set(field, column);
    const scalar = line.includes('@db.Timestamptz(3)')
      ? 'timestamptz(3)'
      : line.includes('@db.Json')
        ? 'json'
        : (types.get(type) ?? SCALARS[type] ?? `unknown ${type}`);
    schema.columns.push({
      table,
      column,
      type: mark === '[]' ? `_${scalar}` : scalar,
      nullable: mark === '?',
      default: line.includes('@default('),
    });
    if (/@id\b/.test(line)) schema.indexes.push(`${table} id ${column}`);
    if (/@unique\b/.test(line)) schema.indexes.push(`${table} unique ${column}`);
  }
  const columns = (list: string) =>
    list.split(',').map((field) => columnOf.get(field.trim().replace(/\(.*/, '')) as string);
  for (const line of lines) {
    const block = /^@@(id|unique|index)\(\[(.*?)\]/.exec(line);
    if (block !== null) schema.indexes.push(`${table} ${block[1]} ${columns(block[2] as string).join(',')}`);
    const relation = /^\w+\s+(\w+)\??\s+@relation\(fields: \[(\w+)\]/.exec(line);
    if (relation !== null) {
      schema.foreignKeys.push(
        `${table}.${columnOf.get(relation[2] as string)} -> ${tables.get(relation[1] as string)}`,
      );
    }
  }
}
