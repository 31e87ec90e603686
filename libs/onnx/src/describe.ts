import { quote } from '@amalgam/contracts';
import type { NodeProto } from './model.js';

/** A node for an error message: its name, or what it makes when it has none, and its operator. */
export function describeNode(node: NodeProto): string {
  const output = node.output.find((name) => name !== '');
  const name = node.name !== undefined && node.name !== '' ? node.name : undefined;
  const called = name !== undefined ? `node ${quote(name)}` : `the node that makes ${quote(output ?? '')}`;
  return `${called} (${operatorOf(node)})`;
}

/** `Add` for standard operators, `com.microsoft.Attention` for others. */
export function operatorOf(node: NodeProto): string {
  const domain = domainOf(node);
  return shorten(domain === '' ? (node.opType ?? '') : `${domain}.${node.opType ?? ''}`);
}

/** The node's domain; '' is the standard one, which also goes by the name ai.onnx. */
export function domainOf(node: { domain?: string }): string {
  return node.domain === undefined || node.domain === 'ai.onnx' ? '' : node.domain;
}

/** Names from a file may have any length and any character. */
function shorten(text: string): string {
  return quote(text).slice(1, -1);
}
