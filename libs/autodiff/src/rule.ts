import type { AmalgamError } from '@amalgam/contracts';
import type { NodeProto } from '@amalgam/onnx';
import type { Builder } from './builder.js';

/** Names of a node's values; '' for one that is left out. There are always six. */
export type Names = readonly [string, string, string, string, string, string, ...string[]];

export interface Options {
  /** Only what every execution provider has a kernel for. */
  portable: boolean;
}

/** A node, for a rule to look at, and the builder that puts nodes behind or in place of it. */
export interface Site {
  b: Builder;
  node: NodeProto;
  opset: number;
  options: Options;
  /** Inputs. */
  x: Names;
  /** Outputs. */
  y: Names;
  /** `unsupported_graph`, naming the node. */
  refuse(rule: string): AmalgamError;
}

/** A node whose outputs have gradients. */
export interface Call extends Site {
  /** The gradient of the first output. */
  dy: string;
  /** The gradient of each output; null for those that the loss does not depend on. */
  dys: readonly (string | null)[];
}

/** Makes the gradient of one input when it is needed; null for inputs that have none. */
export type Gradient = (() => string) | null;

/** The gradient of each input; of those after the end there is none. */
export type Rule = (call: Call) => readonly Gradient[];
export type Rules = Readonly<Record<string, Rule>>;

/**
 * Puts simpler operators in place of a node: returns the values that take the places of its outputs (each from a
 * node that was added for it), or null to leave the node as it is. They are differentiated in turn.
 */
export type Lower = (site: Site) => readonly string[] | null;
export type Lowerings = Readonly<Record<string, Lower>>;
