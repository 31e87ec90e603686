import { AmalgamError } from '@amalgam/contracts';
import { describeNode } from './describe.js';
import { ATTRIBUTE_TYPES, type AttributeProto, type GraphProto, type NodeProto, type TensorProto } from './model.js';

type TypeName = keyof typeof ATTRIBUTE_TYPES;

export function intAttribute(name: string, value: number): AttributeProto {
  return { name, i: BigInt(value), type: ATTRIBUTE_TYPES.INT };
}

export function intsAttribute(name: string, values: readonly number[]): AttributeProto {
  return { name, ints: values.map(BigInt), type: ATTRIBUTE_TYPES.INTS };
}

export function floatAttribute(name: string, value: number): AttributeProto {
  return { name, f: value, type: ATTRIBUTE_TYPES.FLOAT };
}

export function floatsAttribute(name: string, values: readonly number[]): AttributeProto {
  return { name, floats: [...values], type: ATTRIBUTE_TYPES.FLOATS };
}

export function stringAttribute(name: string, value: string): AttributeProto {
  return { name, s: new TextEncoder().encode(value), type: ATTRIBUTE_TYPES.STRING };
}

export function tensorAttribute(name: string, value: TensorProto): AttributeProto {
  return { name, t: value, type: ATTRIBUTE_TYPES.TENSOR };
}

export function graphAttribute(name: string, value: GraphProto): AttributeProto {
  return { name, g: value, type: ATTRIBUTE_TYPES.GRAPH };
}

export function hasAttribute(node: NodeProto, name: string): boolean {
  return node.attribute.some((attribute) => attribute.name === name);
}

/*
 * The getters below return the operator's default, which the caller passes, when the node has no such attribute.
 * Errors: `invalid_graph` naming node and attribute when it has another type or is not there and has no default.
 */

/** An integer attribute; beyond 2^53 - 1 it is that. */
export function getInt(node: NodeProto, name: string, otherwise?: number): number {
  const found = find(node, name, 'INT');
  return found === undefined ? orThrow(node, name, otherwise) : toNumber(found.i ?? 0n);
}

export function getInts(node: NodeProto, name: string, otherwise?: readonly number[]): number[] {
  const found = find(node, name, 'INTS');
  return found === undefined ? [...orThrow(node, name, otherwise)] : (found.ints ?? []).map(toNumber);
}

export function getFloat(node: NodeProto, name: string, otherwise?: number): number {
  const found = find(node, name, 'FLOAT');
  return found === undefined ? orThrow(node, name, otherwise) : (found.f ?? 0);
}

export function getFloats(node: NodeProto, name: string, otherwise?: readonly number[]): number[] {
  const found = find(node, name, 'FLOATS');
  return found === undefined ? [...orThrow(node, name, otherwise)] : [...(found.floats ?? [])];
}

export function getString(node: NodeProto, name: string, otherwise?: string): string {
  const found = find(node, name, 'STRING');
  return found === undefined ? orThrow(node, name, otherwise) : new TextDecoder().decode(found.s);
}

export function getTensor(node: NodeProto, name: string, otherwise?: TensorProto): TensorProto {
  const found = find(node, name, 'TENSOR');
  return found?.t ?? orThrow(node, name, otherwise);
}

function find(node: NodeProto, name: string, type: TypeName): AttributeProto | undefined {
  const attribute = node.attribute.find((candidate) => candidate.name === name);
  if (attribute === undefined) return undefined;
  if (attribute.refAttrName !== undefined && attribute.refAttrName !== '') {
    throw refuse(node, name, `refers to the attribute of a function`);
  }
  // Files of before IR version 2 have no type; what is filled in says it.
  if (attribute.type !== undefined && attribute.type !== ATTRIBUTE_TYPES[type]) {
    throw refuse(node, name, `is of type ${typeName(attribute.type)}, not ${type}`);
  }
  return attribute;
}

function typeName(code: number): string {
  const entry = Object.entries(ATTRIBUTE_TYPES).find(([, value]) => value === code);
  return entry?.[0] ?? String(code);
}

function orThrow<T>(node: NodeProto, name: string, otherwise: T | undefined): T {
  if (otherwise === undefined) throw refuse(node, name, 'is missing');
  return otherwise;
}

function refuse(node: NodeProto, name: string, rule: string): AmalgamError {
  return new AmalgamError('invalid_graph', `${describeNode(node)}: attribute "${name}" ${rule}`);
}

function toNumber(value: bigint): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) return Number.MAX_SAFE_INTEGER;
  if (value < BigInt(Number.MIN_SAFE_INTEGER)) return Number.MIN_SAFE_INTEGER;
  return Number(value);
}
