import { byCodeUnit } from '@amalgam/contracts';
import type { Graph, NodeProto } from '@amalgam/onnx';
import type { Contents, Hit } from './bind-contents.js';
import { compareNatural, leafOf, moduleOf, partsOf, renaming, templateOf, UNCHANGED } from './bind-names.js';
import { fitsRole, hasRole, neighbourhood, type Use } from './bind-uses.js';

/** How the tensor of an initializer was found; see `Binding`. */
export type Evidence = 'name' | 'prefix' | 'content' | 'order';

/** An initializer whose contents some tensors have. */
export interface Open {
  uses: readonly Use[];
  /** By tensor. */
  candidates: ReadonlyMap<string, Hit>;
  elements: number;
  /** All elements are equal: a fresh bias, a fresh scale, or a constant that has nothing to do with the checkpoint. */
  uniform: boolean;
}

export interface Resolution {
  /** Places that are not here are constants. */
  resolved: ReadonlyMap<Use, { hit: Hit; by: Evidence }>;
  ambiguous: readonly { use: Use; candidates: readonly string[] }[];
}

interface Pending {
  use: Use;
  open: Open;
  left: string[];
  /** Something besides equal contents speaks for what is left. */
  supported: boolean;
}

/**
 * Decides for every place where an initializer is read which of the tensors with its contents it is. In this order:
 * the name of the initializer and the module that the node comes from, under the renaming of prefixes that the
 * tensors with contents of their own show; what the place is called in its operator; the modules of tensors that are
 * bound nearby; which tensors are left; the order of use, where names differ in nothing but their numbers.
 *
 * `bound` says which initializers are decided already.
 */
export function resolveUses(
  graph: Graph,
  initializers: ReadonlyMap<string, Open>,
  bound: ReadonlyMap<string, string>,
  contents: Contents,
  merged: ReadonlySet<string>,
): Resolution {
  return new Resolver(graph, initializers, bound, contents, merged).run();
}

class Resolver {
  readonly #resolved = new Map<Use, { hit: Hit; by: Evidence }>();
  readonly #ambiguous: { use: Use; candidates: readonly string[] }[] = [];
  readonly #taken: Set<string>;
  /** How many tensors with contents of their own follow each renaming. */
  readonly #votes = new Map<string, number>();
  readonly #modules = new Map<NodeProto, Set<string>>();
  #pending: Pending[] = [];

  constructor(
    private readonly graph: Graph,
    private readonly initializers: ReadonlyMap<string, Open>,
    bound: ReadonlyMap<string, string>,
    private readonly contents: Contents,
    private readonly merged: ReadonlySet<string>,
  ) {
    this.#taken = new Set(bound.values());
    for (const [initializer, tensor] of bound) {
      for (const node of graph.consumers(initializer)) this.#moduleSet(node).add(moduleOf(tensor));
    }
  }

  run(): Resolution {
    this.#vote();
    for (const [name, open] of this.initializers) {
      if (open.elements === 1 && !this.#isNamed(name, open)) continue;
      for (const use of open.uses) {
        this.#pending.push({ use, open, left: [...open.candidates.keys()], supported: false });
      }
    }
    this.#pending = this.#pending.filter((pending) => !this.#byName(pending));
    for (let before = -1; before !== this.#pending.length; ) {
      before = this.#pending.length;
      this.#pending = this.#pending.filter((pending) => !this.#byNeighbours(pending));
    }
    this.#byWhatIsLeft();
    return { resolved: this.#resolved, ambiguous: this.#ambiguous };
  }

  #vote(): void {
    for (const [name, { uses, candidates, uniform }] of this.initializers) {
      const [tensor] = candidates.keys();
      if (tensor === undefined || candidates.size > 1 || uniform) continue;
      const rules = new Set(
        uses.map(({ path }) => (path === undefined ? undefined : renaming(path, moduleOf(tensor)))),
      );
      rules.add(renaming(name, tensor));
      for (const rule of rules) if (rule !== undefined) this.#votes.set(rule, (this.#votes.get(rule) ?? 0) + 1);
    }
  }

  /** Single numbers are everywhere: only a name makes one a weight. */
  #isNamed(name: string, { candidates }: Open): boolean {
    return [...candidates.keys()].some((tensor) => tensor === name || this.#weigh(name, tensor) > 0);
  }

  /** How well a name of the graph fits one of the checkpoint: 0 not at all. */
  #weigh(graphName: string, name: string): number {
    const rule = renaming(graphName, name);
    if (rule === undefined) return 0;
    const votes = this.#votes.get(rule) ?? 0;
    if (this.#votes.size > 0) return votes;
    // Nothing is known of prefixes. That both end in nothing says nothing then.
    return rule === UNCHANGED || (graphName !== '' && name !== '') ? 1 / (1 + partsOf(rule)) : 0;
  }

  #byName(pending: Pending): boolean {
    const { use, open } = pending;
    if (open.uses.length === 1 && open.candidates.has(use.initializer)) return this.#take(pending, use.initializer);
    const { path } = use;
    const placed = path !== undefined && this.#keepBest(pending, (tensor) => this.#weigh(path, moduleOf(tensor)));
    // A vector that stands for several is named after one of them.
    const named = open.uses.length === 1 || !open.uniform;
    if (named && (!placed || pending.left.length > 1)) {
      this.#keepBest(pending, (tensor) =>
        tensor === use.initializer ? Infinity : this.#weigh(use.initializer, tensor),
      );
    }
    this.#keepRole(pending);
    return this.#settle(pending);
  }

  #byNeighbours(pending: Pending): boolean {
    const { use } = pending;
    if (use.node === null) return false;
    for (const ring of neighbourhood(this.graph, use.node)) {
      const modules = new Set(ring.flatMap((node) => [...(this.#modules.get(node) ?? [])]));
      if (this.#keepBest(pending, (tensor) => (modules.has(moduleOf(tensor)) ? 1 : 0))) break;
    }
    return this.#settle(pending);
  }

  #byWhatIsLeft(): void {
    const groups = new Map<string, Pending[]>();
    for (const pending of this.#pending) {
      const free = pending.left.filter((tensor) => !this.#taken.has(tensor));
      if (pending.open.uniform && !pending.supported) {
        // Nothing but equal numbers: a constant, unless the place asks for what is left.
        if (!hasRole(pending.use)) continue;
        pending.left = free.filter((tensor) => fitsRole(pending.use, tensor));
      } else if (free.length > 0) pending.left = free;
      if (pending.left.length === 0) continue;
      pending.left.sort(compareNatural);
      const key = JSON.stringify(pending.left);
      groups.set(key, [...(groups.get(key) ?? []), pending]);
    }
    for (const group of groups.values()) {
      const { left } = group[0]!;
      const ordered = left.length === group.length && new Set(left.map(templateOf)).size === 1;
      group.sort(({ use: a }, { use: b }) => a.rank - b.rank || a.slot - b.slot);
      group.forEach((pending, i) => {
        if (ordered) this.#take(pending, left[i]!);
        else if (!this.#anyDoes(pending)) this.#ambiguous.push({ use: pending.use, candidates: left });
      });
    }
  }

  /** Which it is does not matter when none is merged and the model has the same numbers in all. */
  #anyDoes(pending: Pending): boolean {
    const { left } = pending;
    if (left.some((tensor) => this.merged.has(tensor) || !this.contents.equal(tensor, left[0]!))) return false;
    return this.#take(pending, left[0]!);
  }

  /** Keeps the candidates of the highest weight; false when all have none. */
  #keepBest(pending: Pending, weigh: (tensor: string) => number): boolean {
    const weights = pending.left.map(weigh);
    const best = Math.max(...weights);
    if (!(best > 0)) return false;
    pending.left = pending.left.filter((_, i) => weights[i] === best);
    pending.supported = true;
    return true;
  }

  #keepRole(pending: Pending): void {
    const fitting = pending.left.filter((tensor) => fitsRole(pending.use, tensor));
    if (fitting.length > 0) pending.left = fitting;
  }

  #settle(pending: Pending): boolean {
    const { left, open } = pending;
    if (open.uniform && !pending.supported) return false;
    if (left.length === 1) return this.#take(pending, left[0]!);
    // One tensor under several names, such as tied weights. Equal constants in equal places are not that.
    if (open.uniform || left.some((tensor) => !this.contents.equal(tensor, left[0]!))) return false;
    const rank = (tensor: string) => (this.merged.has(tensor) ? 0 : 1);
    const [first] = [...left].sort((a, b) => rank(a) - rank(b) || byCodeUnit(a, b));
    return this.#take(pending, first!);
  }

  #take({ use, open }: Pending, tensor: string): true {
    this.#resolved.set(use, { hit: open.candidates.get(tensor)!, by: evidence(use, open, tensor) });
    this.#taken.add(tensor);
    if (use.node !== null) this.#moduleSet(use.node).add(moduleOf(tensor));
    return true;
  }

  #moduleSet(node: NodeProto): Set<string> {
    const known = this.#modules.get(node);
    if (known !== undefined) return known;
    const made = new Set<string>();
    this.#modules.set(node, made);
    return made;
  }
}

function evidence({ initializer }: Use, { candidates, uses }: Open, tensor: string): Evidence {
  if (initializer === tensor) return 'name';
  if (uses.length === 1 && leafOf(initializer) === leafOf(tensor) && renaming(initializer, tensor) !== undefined) {
    return 'prefix';
  }
  return candidates.size === 1 ? 'content' : 'order';
}
