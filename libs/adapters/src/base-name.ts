import type { AdapterInput } from './plan.js';

/** What transformers take for a model of the hub: org/name. */
const HUB_NAME = /^[A-Za-z0-9][\w.-]*\/[A-Za-z0-9][\w.-]*$/;

/**
 * By what PEFT is to load the base of an adapter, and which version of it: the repository of the hub that it is from, else the one
 * that its config.json names (`_name_or_path`, where transformers write what a model was loaded from), else what the recipe calls it.
 * A path is kept as it is; an id of the service says to whoever reads it where the base is to be had, and names no other model.
 */
export function baseNameOf({ reference, hub, checkpoint }: AdapterInput): { name: string; revision: string | null } {
  if (hub !== undefined) return { name: hub.repo, revision: hub.revision };
  const own = checkpoint.config?.['_name_or_path'];
  return { name: typeof own === 'string' && HUB_NAME.test(own) ? own : reference, revision: null };
}
