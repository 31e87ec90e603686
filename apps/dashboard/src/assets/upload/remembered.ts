/** Of each upload that was begun in this browser: when its files were last changed, by path. */
const KEY = 'amalgam.uploads';
/** Uploads that are remembered; a service gives them up within a day. */
const MOST = 50;

type Times = Record<string, number>;

/** Notes which files an upload is sent from, so that another file of the same size is not taken for the rest of one. */
export function remember(id: string, sources: ReadonlyMap<string, File>): void {
  const known = read().filter(([other]) => other !== id);
  const times: Times = Object.fromEntries([...sources].map(([path, { lastModified }]) => [path, lastModified]));
  try {
    localStorage.setItem(KEY, JSON.stringify([...known, [id, times]].slice(-MOST)));
  } catch {
    // No room, or none is allowed: sizes and digests are compared all the same.
  }
}

/** When the file of this path was last changed as it was sent, in milliseconds since 1970; undefined when this browser did not send it. */
export function lastChange(id: string, path: string): number | undefined {
  return read().find(([other]) => other === id)?.[1][path];
}

function read(): [id: string, times: Times][] {
  try {
    const known: unknown = JSON.parse(localStorage.getItem(KEY) ?? '[]');
    return Array.isArray(known) ? known : [];
  } catch {
    return [];
  }
}
