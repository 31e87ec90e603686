import type { AssetKind, UploadTarget } from '@amalgam/contracts';
import { useSyncExternalStore } from 'react';
import { type Trouble, toTrouble } from '../../api.js';
import { callsOf } from '../kinds.js';
import type { Picked } from './picked.js';
import { remember } from './remembered.js';
import { sendBytes } from './send-file.js';

/** `checking`: everything has arrived, and the service reads it. */
export type UploadState = 'sending' | 'paused' | 'checking' | 'ready' | 'failed';

export interface FileProgress {
  path: string;
  bytes: number;
  sent: number;
  state: 'waiting' | 'sending' | 'arrived';
}

/** How an upload stands. */
export interface Upload {
  key: number;
  kind: AssetKind;
  name: string;
  /** Null until the service knows of it. */
  id: string | null;
  state: UploadState;
  files: readonly FileProgress[];
  trouble: Trouble | null;
}

interface Running {
  view: Upload;
  sources: ReadonlyMap<string, File>;
  end: AbortController;
}

const AT_ONCE = 3;
const DRAW_MS = 100;

// They go on while the reader looks at other pages, so they belong to none.
const running = new Map<number, Running>();
const listeners = new Set<() => void>();
let views: readonly Upload[] = [];
let timer: ReturnType<typeof setTimeout> | undefined;
let last = 0;

export function useUploads(): readonly Upload[] {
  return useSyncExternalStore(subscribe, () => views);
}

function subscribe(changed: () => void): () => void {
  listeners.add(changed);
  return () => listeners.delete(changed);
}

/** Draws what has changed: progress some times a second, all else at once. */
function draw(): void {
  clearTimeout(timer);
  timer = undefined;
  views = [...running.values()].map(({ view }) => view);
  for (const listener of listeners) listener();
}

function drawSoon(): void {
  timer ??= setTimeout(draw, DRAW_MS);
}

// Leaving the page would end them.
addEventListener('beforeunload', (event) => {
  if (views.some(({ state }) => state === 'sending' || state === 'checking')) event.preventDefault();
});

/** Begins an upload; with `id`, goes on with one that was begun before. */
export function startUpload(kind: AssetKind, name: string, picked: readonly Picked[], id: string | null = null): void {
  const key = last++;
  const files = picked.map(({ path, file }) => ({ path, bytes: file.size, sent: 0, state: 'waiting' as const }));
  running.set(key, {
    view: { key, kind, name, id, state: 'sending', files, trouble: null },
    sources: new Map(picked.map(({ path, file }) => [path, file])),
    end: new AbortController(),
  });
  resumeUpload(key);
}

export function pauseUpload(key: number): void {
  change(key, { state: 'paused' });
  running.get(key)?.end.abort();
}

/** Goes on with the files, and the parts of large ones, that have not arrived whole. */
export function resumeUpload(key: number): void {
  const upload = running.get(key);
  if (upload === undefined) return;
  upload.end = new AbortController();
  change(key, { state: 'sending', trouble: null });
  const { signal } = upload.end;
  run(upload, signal).catch((error: unknown) => {
    if (!signal.aborted) change(key, { state: 'failed', trouble: toTrouble(error) });
  });
}

/** Ends it, and removes what has arrived of it. */
export async function cancelUpload(key: number): Promise<void> {
  const upload = running.get(key);
  if (upload === undefined) return;
  upload.end.abort();
  const { kind, id } = upload.view;
  try {
    if (id !== null) await callsOf(kind).delete(id);
    forgetUpload(key);
  } catch (error) {
    change(key, { state: 'failed', trouble: toTrouble(error) });
  }
}

/** Takes one that has come to its end off the page. */
export function forgetUpload(key: number): void {
  running.delete(key);
  draw();
}

async function run(upload: Running, signal: AbortSignal): Promise<void> {
  const { key, kind, name } = upload.view;
  const calls = callsOf(kind);
  const known = upload.view.id;
  const asset =
    known === null
      ? await calls.create({ ...(name === '' ? {} : { name }), files: stated(upload.view.files) }, { signal })
      : await calls.resumeUpload(known, { signal });
  const waiting = new Map((asset.uploads ?? []).map((target) => [target.path, new Waiting(target)]));
  const files = upload.view.files.map((file) => {
    const left = waiting.get(file.path);
    return left === undefined
      ? { ...file, sent: file.bytes, state: 'arrived' as const }
      : { ...file, sent: file.bytes - left.bytes(file.bytes), state: 'waiting' as const };
  });
  change(key, { id: asset.id, name: asset.name, files });
  remember(asset.id, upload.sources);

  const work = [...waiting.values()].flatMap((left) => left.pieces).values();
  const sender = async () => {
    for (const piece of work) {
      const { path, url, offset, of: left } = piece;
      const source = upload.sources.get(path);
      if (source === undefined) continue; // the service will say that it has not arrived
      changeFile(upload, path, { state: 'sending' });
      const body = source.slice(offset, offset + (piece.bytes ?? source.size));
      await sendBytes(url, { name: source.name, body }, signal, (sent) => {
        left.sent.set(piece, Math.min(sent, body.size));
        changeFile(upload, path, { sent: source.size - left.bytes(source.size) });
      });
      if (left.bytes(source.size) === 0) changeFile(upload, path, { state: 'arrived' });
    }
  };
  // Files whose parts have all arrived and wait to be put together.
  for (const [path, { pieces }] of waiting) if (pieces.length === 0) changeFile(upload, path, { state: 'arrived' });
  await Promise.all(Array.from({ length: AT_ONCE }, sender));
  change(key, { state: 'checking' });
  await calls.complete(asset.id, { signal });
  change(key, { state: 'ready' });
}

/** What goes to one link. */
interface Piece {
  of: Waiting;
  path: string;
  url: string;
  offset: number;
  /** Null: the whole file. */
  bytes: number | null;
}

/** What of a file has not arrived, and how much of that is on its way. */
class Waiting {
  readonly pieces: Piece[];
  readonly sent = new Map<Piece, number>();

  constructor({ path, url, parts }: UploadTarget) {
    this.pieces =
      parts === undefined
        ? [{ of: this, path, url, offset: 0, bytes: null }]
        : parts.map((part) => ({ of: this, path, url: part.url, offset: part.offset, bytes: part.bytes }));
  }

  /** Left to send, of a file of so many bytes. */
  bytes(whole: number): number {
    return this.pieces.reduce((sum, piece) => sum + (piece.bytes ?? whole) - (this.sent.get(piece) ?? 0), 0);
  }
}

const stated = (files: readonly FileProgress[]) => files.map(({ path, bytes }) => ({ path, bytes }));

function change(key: number, changes: Partial<Upload>): void {
  const upload = running.get(key);
  if (upload === undefined) return;
  upload.view = { ...upload.view, ...changes };
  draw();
}

function changeFile(upload: Running, path: string, changes: Partial<FileProgress>): void {
  const files = upload.view.files.map((file) => (file.path === path ? { ...file, ...changes } : file));
  upload.view = { ...upload.view, files };
  drawSoon();
}
