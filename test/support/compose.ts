import { parse } from 'yaml';
import { readText } from './workspace.js';

export interface Service {
  image: string;
  build?: { context: string; dockerfile: string; target: string };
  command?: string[];
  environment?: Record<string, string>;
  restart?: string;
  ports?: string[];
  volumes?: string[];
  networks?: string[];
  healthcheck?: { test?: string[]; disable?: boolean };
  depends_on?: Record<string, { condition: string }>;
  stop_grace_period?: string;
  read_only?: boolean;
  profiles?: string[];
  deploy?: {
    replicas?: string;
    resources?: {
      limits?: Record<string, string>;
      reservations?: { devices?: { driver?: string; count?: number; capabilities?: string[] }[] };
    };
  };
}

export interface Compose {
  services: Record<string, Service>;
  volumes: Record<string, unknown>;
  networks: Record<string, { internal?: boolean } | null>;
}

/** A use of `${NAME}`, `${NAME:-default}` or `${NAME:?message}`. */
const VARIABLE = /\$\{(\w+)(?:(:-|:\?)([^}]*))?\}/g;

/** docker-compose.yml, with variables filled in when an environment is given. */
export function readCompose(env?: Record<string, string>): Compose {
  const text = readText('docker-compose.yml');
  return parse(env === undefined ? text : interpolate(text, env), { merge: true }) as Compose;
}

/** @throws Error as docker compose does, when a required variable is unset or empty. */
export function interpolate(text: string, env: Record<string, string>): string {
  return text.replace(VARIABLE, (_, name: string, operator: string | undefined, rest: string | undefined) => {
    const value = env[name] ?? '';
    if (value !== '') return value;
    if (operator === ':?') throw new Error(`required variable ${name} is missing a value: ${rest}`);
    return rest ?? '';
  });
}

export function variables(): { name: string; required: boolean; fallback: string | undefined }[] {
  return [...readText('docker-compose.yml').matchAll(VARIABLE)].map(([, name = '', operator, rest]) => ({
    name,
    required: operator === ':?',
    fallback: operator === ':-' ? rest : undefined,
  }));
}

/** The assignments of an .env file; comments left out. */
export function readEnv(text: string): Record<string, string> {
  const lines = text.split('\n').filter((line) => /^\w+=/.test(line));
  return Object.fromEntries(lines.map((line) => [line.replace(/=.*/, ''), line.replace(/^\w+=/, '')]));
}
