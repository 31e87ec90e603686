import type { CreateMerge, Merge } from '@amalgam/contracts';
import { type MergeRow, toMergeResource } from '@amalgam/database';
import type { Config, Parts } from '@amalgam/runtime';
import type { HeldKey } from '../types.js';
import { planRecipe } from './plan-recipe.js';
import { assertUrl, secretOf } from './webhook-input.js';
import type { WrittenRecipe } from './written-recipe.js';

/**
 * Checks everything and queues the merge. The request's Idempotency-Key is completed in the transaction that makes the merge,
 * so a crash cannot make it twice.
 */
export async function createMerge(
  services: { parts: Parts; config: Config },
  projectId: string,
  body: CreateMerge,
  { idempotency: held, written }: { idempotency: HeldKey | null; written: WrittenRecipe | null },
): Promise<Merge> {
  const { parts, config } = services;
  const { inputs, plan, resource } = await planRecipe(services, projectId, body.recipe, written);
  const webhook = body.webhook === undefined ? null : await checkWebhook(config, body.webhook);
  const answer = (row: MergeRow): Merge => {
    const merge = toMergeResource(row);
    if (webhook?.made !== true || merge.webhook === null) return merge;
    return { ...merge, webhook: { ...merge.webhook, secret: webhook.secret } };
  };
  const row = await parts.database.merges.create(
    projectId,
    {
      name: body.name ?? null,
      recipe: plan.recipe,
      plan: resource,
      bytesTotal: plan.bytesRead + plan.bytesWritten,
      inputs: inputs.refs,
      metadata: body.metadata ?? {},
      ...(webhook === null || body.webhook === undefined
        ? {}
        : {
            webhook: {
              url: body.webhook.url,
              secret: webhook.secret,
              ...(body.webhook.events === undefined ? {} : { events: body.webhook.events }),
            },
          }),
    },
    held === null
      ? {}
      : {
          idempotency: {
            key: held.key,
            token: held.token,
            respond: (merge) => ({ status: 202, headers: { location: mergeLocation(merge.id) }, body: answer(merge) }),
          },
        },
  );
  if (held !== null) held.completed = true;
  return answer(row);
}

export function mergeLocation(id: string): string {
  return `/v1/merges/${id}`;
}

async function checkWebhook(config: Config, webhook: NonNullable<CreateMerge['webhook']>) {
  await assertUrl(config, webhook.url, '/webhook/url');
  return { secret: secretOf(webhook.secret, '/webhook/secret'), made: webhook.secret === undefined };
}
