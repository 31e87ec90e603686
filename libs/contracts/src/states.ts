/** States of a merge and every predicate on them. Nothing else in the project compares state names. */
export const MERGE_STATES = ['queued', 'running', 'succeeded', 'failed', 'canceled'] as const;
export type MergeState = (typeof MERGE_STATES)[number];

export const MERGE_STAGES = ['planning', 'tuning', 'merging', 'evaluating', 'publishing'] as const;
export type MergeStage = (typeof MERGE_STAGES)[number];

/** An attempt is one worker's try at a merge; `lost` means that its worker stopped answering. */
export const ATTEMPT_STATES = ['running', 'succeeded', 'failed', 'canceled', 'lost'] as const;
export type AttemptState = (typeof ATTEMPT_STATES)[number];

/** What is stored and named in recipes (assets.ts). */
export const ASSET_KINDS = ['checkpoint', 'graph', 'dataset'] as const;
export type AssetKind = (typeof ASSET_KINDS)[number];

export const ASSET_STATES = ['pending', 'ready', 'deleted'] as const;
export type AssetState = (typeof ASSET_STATES)[number];

/** What an asset is to a merge. */
export const INPUT_ROLES = ['base', 'model', 'graph', 'data', 'evaluation', 'adapter'] as const;
export type InputRole = (typeof INPUT_ROLES)[number];

export const DELIVERY_STATES = ['pending', 'succeeded', 'failed'] as const;
export type DeliveryState = (typeof DELIVERY_STATES)[number];

/**
 * Why an endpoint gets nothing: its owner said so, it answered 410 Gone, or it took nothing for as long as the retry
 * schedule lasts.
 */
export const DISABLED_REASONS = ['user', 'gone', 'exhausted'] as const;
export type DisabledReason = (typeof DISABLED_REASONS)[number];

export const LANES = ['cpu', 'gpu', 'delivery'] as const;
export type Lane = (typeof LANES)[number];

/** The lane of a merge: what has tasks runs a model, and goes to workers that can. */
export function laneOf(recipe: { tasks?: readonly unknown[] }): 'cpu' | 'gpu' {
  return recipe.tasks === undefined || recipe.tasks.length === 0 ? 'cpu' : 'gpu';
}

const TRANSITIONS: Record<MergeState, readonly MergeState[]> = {
  queued: ['running', 'failed', 'canceled'],
  // back to queued: the worker was lost and the merge goes to another one
  running: ['queued', 'succeeded', 'failed', 'canceled'],
  succeeded: [],
  // a retry by the user
  failed: ['queued'],
  canceled: ['queued'],
};

export function isFinal(state: MergeState): boolean {
  return state === 'succeeded' || state === 'failed' || state === 'canceled';
}

/** A worker may start it. */
export function isClaimable(state: MergeState): boolean {
  return state === 'queued';
}

export function isRunning(state: MergeState): boolean {
  return state === 'running';
}

/** The user may ask for another attempt. */
export function isRetryable(state: MergeState): boolean {
  return state === 'failed' || state === 'canceled';
}

export function canTransition(from: MergeState, to: MergeState): boolean {
  return TRANSITIONS[from].includes(to);
}
