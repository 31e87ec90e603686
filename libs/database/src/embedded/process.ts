import { readFile, readlink, realpath, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** A process as told from a later one with the same number: by its start time, where the system tells it. */
export interface ProcessId {
  pid: number;
  /** Clock ticks since boot, from /proc; null elsewhere. */
  started: string | null;
}

export async function identify(pid: number): Promise<ProcessId> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null);
  // The name in parentheses may hold spaces; the start time is the 20th field after it.
  const started = text === null ? null : (text.slice(text.lastIndexOf(')') + 2).split(' ')[19] ?? null);
  return { pid, started };
}

export function exists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** True when that very process still runs. */
export async function isAlive(id: ProcessId): Promise<boolean> {
  if (!exists(id.pid)) return false;
  if (await isZombie(id.pid)) return false;
  return id.started === null || (await identify(id.pid)).started === id.started;
}

async function isZombie(pid: number): Promise<boolean> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null);
  return text?.slice(text.lastIndexOf(')') + 2).startsWith('Z') ?? false;
}

/** Waits until it is gone; false when that took too long. */
export async function waitGone(id: ProcessId, timeoutMs: number): Promise<boolean> {
  for (const deadline = Date.now() + timeoutMs; await isAlive(id); ) {
    if (Date.now() > deadline) return false;
    await sleep(20);
  }
  return true;
}

/** Stops a server: clients are cut off and all is written; harder when it does not listen. */
export async function stopServer(id: ProcessId): Promise<void> {
  for (const [signal, ms] of [
    ['SIGINT', 30_000],
    ['SIGQUIT', 10_000],
    ['SIGKILL', 10_000],
  ] as const) {
    try {
      process.kill(id.pid, signal);
    } catch {
      return; // gone
    }
    if (await waitGone(id, ms)) return;
  }
}

/**
 * The server that runs on this data folder, if one does. When postmaster.pid names a live process that is no server
 * (the number was given away again after a crash, which containers do at once), Postgres would refuse to start; the
 * number is replaced by one that nobody has, and Postgres' own check of its shared memory still takes place.
 */
export async function findServer(dataDir: string): Promise<ProcessId | null> {
  const file = join(dataDir, 'postmaster.pid');
  const text = await readFile(file, 'utf8').catch(() => null);
  const pid = Number.parseInt(text ?? '', 10);
  if (text === null || !(pid > 0) || !exists(pid) || (await isZombie(pid))) return null;
  if (await runsOn(pid, dataDir)) return identify(pid);
  let unused = 4_194_303;
  while (exists(unused)) unused--;
  await writeFile(file, text.replace(/^\d+/, String(unused)));
  return null;
}

async function runsOn(pid: number, dataDir: string): Promise<boolean> {
  const folder = await realpath(dataDir);
  const cwd = await readlink(`/proc/${pid}/cwd`).catch(() => null);
  if (cwd !== null) return cwd === folder;
  const name = await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => null);
  return name === null || name.trim() === 'postgres';
}
