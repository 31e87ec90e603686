import { ID_PREFIXES, type IdKind } from '@amalgam/contracts';
import { monotonicFactory } from 'ulid';

const ulid = monotonicFactory();

/** A new public id. Ids that one process makes of one kind sort in the order they were made. */
export function newId(kind: IdKind): string {
  return `${ID_PREFIXES[kind]}_${ulid()}`;
}
