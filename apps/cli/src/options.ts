import { InvalidArgumentError } from 'commander';

const UNITS: Record<string, number> = { '': 1, k: 1e3, m: 1e6, g: 1e9, ki: 2 ** 10, mi: 2 ** 20, gi: 2 ** 30 };

/** `512MB`, `1.5 GiB`, `600000000`. */
export function parseBytes(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([kmg]i?)?b?$/i.exec(text.trim());
  const bytes = match === null ? Number.NaN : Number(match[1]) * UNITS[(match[2] ?? '').toLowerCase()]!;
  if (!(bytes >= 1)) throw new InvalidArgumentError('give bytes, as 512MB or 1GiB');
  return Math.floor(bytes);
}

export function parseCount(text: string): number {
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1 || count > 1024)
    throw new InvalidArgumentError('give a whole number from 1 to 1024');
  return count;
}

/** Where an event stands among those of a project. */
export function parsePosition(text: string): number {
  const position = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(position)) throw new InvalidArgumentError('give a whole number');
  return position;
}

export function parsePort(text: string): number {
  const port = Number(text);
  if (!Number.isInteger(port) || port < 0 || port > 65535)
    throw new InvalidArgumentError('give a port from 0 to 65535');
  return port;
}

/** `key=value`; given several times, they come together. */
export function parseMetadata(text: string, before: Record<string, string> = {}): Record<string, string> {
  const [, key, value] = /^([^=]+)=(.*)$/s.exec(text) ?? [];
  if (key === undefined || value === undefined) throw new InvalidArgumentError('give key=value');
  return { ...before, [key]: value };
}
