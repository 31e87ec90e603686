import type { NodeProto } from '@amalgam/onnx';

/** `blocks.0.norm1` of `blocks.0.norm1.weight`. */
export function moduleOf(tensor: string): string {
  return tensor.slice(0, Math.max(tensor.lastIndexOf('.'), 0));
}

/** `weight` of `blocks.0.norm1.weight`. */
export function leafOf(tensor: string): string {
  return tensor.slice(tensor.lastIndexOf('.') + 1);
}

/**
 * The module that a node comes from, as PyTorch's exporters record it: in metadata (torch.export), or in the node's
 * name, `/layer1/layer1.0/conv1/Conv` (TorchScript). '' is the outermost module, undefined: not recorded.
 */
export function modulePath(node: NodeProto): string | undefined {
  const scopes = node.metadataProps?.find(({ key }) => key === 'pkg.torch.onnx.name_scopes')?.value;
  if (scopes !== undefined) {
    const names = [...scopes.matchAll(/'([^']*)'/g)].map(([, name]) => name!);
    return names.at(-2);
  }
  if (node.name?.startsWith('/') !== true) return undefined;
  const path: string[] = [];
  for (const part of node.name.split('/').slice(1, -1)) {
    // A part of a sequence stands behind the sequence and repeats its name.
    if (path.length > 0 && part.startsWith(`${path.at(-1)!}.`)) path.pop();
    path.push(part);
  }
  return path.join('.');
}

/** What wrappers put before the names of what they wrap. */
const WRAPPERS = ['model', 'module', 'auto_model', 'vision_model', 'text_model', 'base_model', '_orig_mod'];

/**
 * How a name of the graph becomes a name of the checkpoint: the prefix that goes and the one that comes, as one
 * string, the same for all names of one wrapping. Undefined when the names have no end in common.
 */
export function renaming(graphName: string, tensor: string): string | undefined {
  if (endsWithName(graphName, tensor)) return ruleOf(graphName.slice(0, graphName.length - tensor.length), '');
  if (endsWithName(tensor, graphName)) return ruleOf('', tensor.slice(0, tensor.length - graphName.length));
  const [graphHead, graphRest] = unwrapped(graphName);
  const [head, rest] = unwrapped(tensor);
  return graphRest === rest ? ruleOf(graphHead, head) : undefined;
}

/** The renaming that changes nothing. */
export const UNCHANGED = ruleOf('', '');

/** How many parts of names a renaming changes: the less, the likelier where nothing else decides. */
export function partsOf(rule: string): number {
  return rule.split(/[.→]/).filter((part) => part !== '').length;
}

/** Orders names as people count: `blocks.2` before `blocks.10`. Names that differ only in leading zeros by code unit. */
export function compareNatural(a: string, b: string): number {
  const left = a.split(/(\d+)/);
  const right = b.split(/(\d+)/);
  for (let i = 0; i < Math.min(left.length, right.length); i++) {
    const [one, other] = [left[i]!, right[i]!];
    const difference = i % 2 === 1 ? Number(one) - Number(other) : 0;
    if (difference !== 0) return difference;
    if (one !== other) return one < other ? -1 : 1;
  }
  return left.length - right.length;
}

/** The name without its numbers: what the same parameter of all layers has in common. */
export function templateOf(tensor: string): string {
  return tensor.replace(/\d+/g, '#');
}

function ruleOf(goes: string, comes: string): string {
  return `${goes.replace(/\.$/, '')}→${comes.replace(/\.$/, '')}`;
}

function endsWithName(name: string, end: string): boolean {
  return name === end || (name.endsWith(end) && (end === '' || name.at(-end.length - 1) === '.'));
}

function unwrapped(name: string): [head: string, rest: string] {
  const parts = name.split('.');
  let at = 0;
  while (at < parts.length - 1 && WRAPPERS.includes(parts[at]!)) at++;
  return [parts.slice(0, at).join('.'), parts.slice(at).join('.')];
}
