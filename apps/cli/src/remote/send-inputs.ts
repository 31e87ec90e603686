import type { Client } from '@amalgam/client';
import { type AssetKind, isId, type Recipe } from '@amalgam/contracts';
import { hubUriOf } from '../hub-input.js';
import { listReferences, rewriteRecipe } from './rewrite-recipe.js';
import { callsOf, type SentAsset, sendLocal } from './send-asset.js';

export interface SendReport {
  /** Bytes of one input. */
  progress(reference: string, done: number, total: number): void;
  sent(kind: AssetKind, reference: string, asset: SentAsset): void;
}

/**
 * A recipe from a file as the service takes it. Ids stay; models of the hub are registered, for the service to fetch; paths,
 * which start from `folder`, are uploaded unless the service has the same files.
 */
export async function sendInputs(client: Client, recipe: Recipe, folder: string, report: SendReport): Promise<Recipe> {
  const references = listReferences(recipe);
  const send = async (kind: AssetKind, names: string[]) => {
    const ids = new Map<string, string>();
    for (const reference of names) {
      if (isId(kind, reference)) continue;
      const asset = await sendOne(client, kind, reference, folder, report);
      report.sent(kind, reference, asset);
      ids.set(reference, asset.id);
    }
    return ids;
  };
  return rewriteRecipe(recipe, {
    checkpoints: await send('checkpoint', references.checkpoints),
    graphs: await send('graph', references.graphs),
    datasets: await send('dataset', references.datasets),
  });
}

/** Is everything that the recipe names a path on this machine? Then it can be checked before anything is sent. */
export async function isAllLocal(recipe: Recipe, folder: string): Promise<boolean> {
  const { checkpoints, graphs, datasets } = listReferences(recipe);
  if (graphs.some((name) => isId('graph', name)) || datasets.some((name) => isId('dataset', name))) return false;
  for (const name of checkpoints) if (isId('checkpoint', name) || (await uriOf(name, folder)) !== null) return false;
  return true;
}

async function sendOne(
  client: Client,
  kind: AssetKind,
  reference: string,
  folder: string,
  report: SendReport,
): Promise<SentAsset> {
  const uri = kind === 'checkpoint' ? await uriOf(reference, folder) : null;
  if (uri !== null) return { id: (await callsOf(client, kind).create({ uri })).id, how: 'registered' };
  return sendLocal(
    client,
    kind,
    { reference, folder },
    { onProgress: (done, total) => report.progress(reference, done, total) },
  );
}

/** What the service is to read itself. */
async function uriOf(reference: string, folder: string): Promise<string | null> {
  return /^(s3|file):\/\//i.test(reference) ? reference : hubUriOf(reference, folder);
}
