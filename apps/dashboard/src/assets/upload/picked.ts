/** A file that somebody chose; `path` tells the folder that it was chosen with, if any. */
export interface Picked {
  path: string;
  file: File;
}

/** What becomes one asset. */
export interface Draft {
  name: string;
  files: Picked[];
}

/** Parts of one model, as the transformers library names them. */
const SHARD = /-\d{5}-of-\d{5}\.safetensors$/;
const MODEL = /\.(safetensors|onnx|npz)$/i;

/**
 * Which files belong together: a folder with everything below it is one asset, and so are loose files, unless each of several
 * is a model of its own. Hidden files are left out, and so is the folder's own name on the paths.
 */
export function toDrafts(picked: readonly Picked[]): Draft[] {
  const seen = picked.filter(({ path }) => !path.split('/').some((part) => part.startsWith('.')));
  const folders = new Map<string, Picked[]>();
  const loose: Picked[] = [];
  for (const { path, file } of seen) {
    const slash = path.indexOf('/');
    if (slash < 0) loose.push({ path, file });
    else {
      const folder = path.slice(0, slash);
      folders.set(folder, [...(folders.get(folder) ?? []), { path: path.slice(slash + 1), file }]);
    }
  }
  const drafts = [...folders].map(([name, files]) => ({ name, files: sorted(files) }));
  return [...drafts, ...ofLoose(sorted(loose))];
}

function ofLoose(files: Picked[]): Draft[] {
  const models = files.filter(({ path }) => MODEL.test(path));
  const apart = models.length > 1 && models.length === files.length && !models.some(({ path }) => SHARD.test(path));
  if (apart) return models.map((model) => ({ name: stemOf(model.path), files: [model] }));
  const first = models[0] ?? files[0];
  return first === undefined ? [] : [{ name: stemOf(first.path), files }];
}

function stemOf(path: string): string {
  return path.replace(SHARD, '').replace(MODEL, '').slice(0, 200);
}

function sorted(files: Picked[]): Picked[] {
  return files.sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** From an input for files or for a folder. */
export function fromInput(list: FileList | null): Picked[] {
  return [...(list ?? [])].map((file) => ({ path: file.webkitRelativePath || file.name, file }));
}

/** From what was dropped, folders with all that is below them. The transfer is empty once this has returned. */
export function fromDrop(transfer: DataTransfer): Promise<Picked[]> {
  const entries = [...transfer.items].flatMap((item) => item.webkitGetAsEntry() ?? []);
  return Promise.all(entries.map((entry) => walk(entry, ''))).then((lists) => lists.flat());
}

async function walk(entry: FileSystemEntry, folder: string): Promise<Picked[]> {
  const path = folder + entry.name;
  if (isFile(entry)) {
    const file = await new Promise<File>((resolve, reject) => entry.file(resolve, reject));
    return [{ path, file }];
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  const found: Picked[] = [];
  for (;;) {
    // Some at a time; an empty list is the end.
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) return found;
    for (const below of some) found.push(...(await walk(below, `${path}/`)));
  }
}

function isFile(entry: FileSystemEntry): entry is FileSystemFileEntry {
  return entry.isFile;
}
