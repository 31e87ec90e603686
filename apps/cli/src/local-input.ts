import { realpath, stat } from 'node:fs/promises';
import { basename, extname, join, resolve } from 'node:path';
import { AmalgamError, type Recipe } from '@amalgam/contracts';
import { type ModelInput, shortName } from '@amalgam/engine';
import { describeCheckpoint, localFileFolder, localFolder, type ReadableFolder } from '@amalgam/tensors';

/** A checkpoint on this machine: a folder, or one safetensors file. */
export interface LocalInput extends ModelInput {
  folder: ReadableFolder;
  pathOf(file: string): string;
}

/** @throws AmalgamError `not_found`, `invalid_checkpoint`, `unsafe_format`, each naming the path */
export async function openLocal(path: string, reference = path, name?: string): Promise<LocalInput> {
  const real = await realpath(path).catch(() => {
    throw new AmalgamError('not_found', `${reference}: there is no such file or folder`);
  });
  const isFile = (await stat(real)).isFile();
  const folder = isFile ? localFileFolder(real, reference) : localFolder(real, reference);
  const checkpoint = await describeCheckpoint(folder);
  return {
    reference,
    identity: real,
    name: name ?? shortName(basename(real, isFile ? extname(real) : undefined)),
    checkpoint,
    folder,
    pathOf: (file) => (isFile ? real : join(real, file)),
  };
}

/** The inputs of a recipe from a file, whose references are paths. In the engine's order: base first. */
export async function openRecipeInputs(recipe: Recipe, folder: string) {
  const open = (reference: string, name?: string) => openLocal(resolve(folder, reference), reference, name);
  const base = recipe.base === undefined ? null : await open(recipe.base);
  const models: LocalInput[] = [];
  for (const { model, name } of recipe.models) models.push(await open(model, name));
  return { base, models, all: base === null ? models : [base, ...models] };
}
