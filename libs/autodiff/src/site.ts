import type { NodeProto } from '@amalgam/onnx';
import type { Builder } from './builder.js';
import { refuseNode } from './refuse.js';
import type { Names, Options, Site } from './rule.js';

export function siteOf(b: Builder, node: NodeProto, options: Options): Site {
  return {
    b,
    node,
    opset: b.opset,
    options,
    x: sixNames(node.input),
    y: sixNames(node.output),
    refuse: (rule) => refuseNode(b.graph, node, rule),
  };
}

function sixNames([a = '', b = '', c = '', d = '', e = '', f = '', ...rest]: readonly string[]): Names {
  return [a, b, c, d, e, f, ...rest];
}
