import { readFileSync } from 'node:fs';
import {
  ASSET_KINDS,
  ASSET_STATES,
  ATTEMPT_STATES,
  DELIVERY_STATES,
  DISABLED_REASONS,
  ENDPOINT_EVENT_TYPES,
  EVENT_TYPES,
  INPUT_ROLES,
  LANES,
  MERGE_STAGES,
  MERGE_STATES,
} from '@amalgam/contracts';
import { describe, expect, it } from 'vitest';
import { fromRowMergeEventType, toRowEventType } from '../src/event-types.js';
import * as generated from '../src/generated/enums.js';
import { useWorld } from './fixtures.js';
import { parseSchema } from './prisma-schema.js';

const world = useWorld();
const schema = parseSchema(readFileSync(new URL('../../../prisma/schema.prisma', import.meta.url), 'utf8'));

async function query<T>(sql: string): Promise<T[]> {
  return world.db.prisma.$queryRawUnsafe<T[]>(sql);
}

describe('enums', () => {
  const contract = {
    merge_state: MERGE_STATES,
    merge_stage: MERGE_STAGES,
    attempt_state: ATTEMPT_STATES,
    asset_kind: ASSET_KINDS,
    asset_state: ASSET_STATES,
    input_role: INPUT_ROLES,
    delivery_state: DELIVERY_STATES,
    disabled_reason: DISABLED_REASONS,
    lane: LANES,
    event_type: ENDPOINT_EVENT_TYPES,
  };

  it('are those of the contracts, in the schema and in the database', async () => {
    for (const [name, values] of Object.entries(contract)) expect(schema.enums.get(name), name).toEqual([...values]);
    const rows = await query<{ name: string; values: string[] }>(
      `SELECT t.typname AS name, array_agg(e.enumlabel::text ORDER BY e.enumsortorder) AS values
       FROM pg_enum e JOIN pg_type t ON t.oid = e.enumtypid GROUP BY t.typname`,
    );
    expect(new Map(rows.map((row) => [row.name, row.values]))).toEqual(schema.enums);
  });

  it('reach the code with the same names', () => {
    expect(Object.values(generated.MergeState)).toEqual([...MERGE_STATES]);
    expect(Object.values(generated.AttemptState)).toEqual([...ATTEMPT_STATES]);
    for (const type of EVENT_TYPES) expect(fromRowMergeEventType(toRowEventType(type))).toBe(type);
    expect(Object.values(generated.EventType)).toEqual(ENDPOINT_EVENT_TYPES.map(toRowEventType));
  });
});

describe('the migrations make what the schema says', () => {
  it('columns with their types, nullability and defaults', async () => {
    const rows = await query<{ table: string; column: string; type: string; nullable: boolean; default: boolean }>(
      `SELECT table_name AS table, column_name AS column, column_default IS NOT NULL AS default,
              is_nullable = 'YES' AS nullable,
              CASE WHEN data_type = 'timestamp with time zone' THEN udt_name || '(' || datetime_precision || ')'
                   ELSE udt_name END AS type
       FROM information_schema.columns WHERE table_schema = 'public' AND table_name NOT LIKE '\\_prisma%'`,
    );
    const found = rows.map((row) => `${row.table}.${row.column} ${describeColumn(row)}`).sort();
    const wanted = schema.columns.map((column) => `${column.table}.${column.column} ${describeColumn(column)}`).sort();
    expect(found).toEqual(wanted);
  });

  it('primary keys, unique indexes and indexes', async () => {
    const rows = await query<{ table: string; kind: string; columns: string[] }>(
      `SELECT t.relname::text AS table,
              CASE WHEN i.indisprimary THEN 'id' WHEN i.indisunique THEN 'unique' ELSE 'index' END AS kind,
              array_agg(a.attname::text ORDER BY array_position(i.indkey::int2[], a.attnum)) AS columns
       FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace n ON n.oid = t.relnamespace
       JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = ANY (i.indkey)
       WHERE n.nspname = 'public' AND t.relname NOT LIKE '\\_prisma%' AND i.indpred IS NULL
       GROUP BY t.relname, i.indexrelid, i.indisprimary, i.indisunique`,
    );
    const found = rows.map(({ table, kind, columns }) => `${table} ${kind} ${columns.join(',')}`).sort();
    expect(found).toEqual([...schema.indexes].sort());
  });

  it('foreign keys', async () => {
    const rows = await query<{ key: string }>(
      `SELECT format('%s.%s -> %s', c.conrelid::regclass, a.attname, c.confrelid::regclass) AS key
       FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey)
       WHERE c.contype = 'f'`,
    );
    expect(rows.map(({ key }) => key).sort()).toEqual([...schema.foreignKeys].sort());
  });
});

function describeColumn(column: { type: string; nullable: boolean; default: boolean }): string {
  // Lists are never NULL for Prisma, which has no word for their nullability.
  const list = column.type.startsWith('_');
  return `${column.type}${column.nullable || list ? '' : ' not null'}${column.default ? ' default' : ''}`;
}
