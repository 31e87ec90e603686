import { basename } from 'node:path';
import { Readable } from 'node:stream';
import { AmalgamError, type Problem } from '@amalgam/contracts';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { toProblem } from './problem.js';

/** Something to answer a GET with, as a whole or by range. */
export interface Sendable {
  path: string;
  bytes: number;
  /** Changes with the bytes; without quotes. */
  etag: string;
  /** Default: the path's base name. */
  filename?: string;
  open(offset: number, length: number): Promise<Readable>;
}

const TYPES: Record<string, string> = {
  '.json': 'application/json',
  '.md': 'text/markdown; charset=utf-8',
  '.txt': 'text/plain; charset=utf-8',
};

/** Streams a file: ETag, If-None-Match, HEAD, and single byte ranges (RFC 9110 section 14) with If-Range. */
export async function sendFile(request: FastifyRequest, reply: FastifyReply, file: Sendable): Promise<FastifyReply> {
  const etag = `"${file.etag}"`;
  const name = file.filename ?? basename(file.path);
  reply.headers({
    etag,
    'accept-ranges': 'bytes',
    'cache-control': 'private, no-cache',
    // The bytes are strangers': a browser must save them, not show them.
    'content-disposition': `attachment; filename="${name.replaceAll(/[^\x20-\x7e]|["\\]/g, '_')}"`,
    'content-type': TYPES[/\.[a-z]+$/.exec(file.path)?.[0] ?? ''] ?? 'application/octet-stream',
  });
  if (matches(request.headers['if-none-match'], etag)) return reply.code(304).send();

  const ifRange = request.headers['if-range'];
  const wanted = ifRange === undefined || ifRange === etag ? request.headers.range : undefined;
  const range = wanted === undefined ? null : parseRange(wanted, file.bytes);
  if (range === 'unsatisfiable') return refuseRange(request, reply, file);
  const { offset, length } = range ?? { offset: 0, length: file.bytes };
  if (range !== null) {
    reply.code(206).header('content-range', `bytes ${offset}-${offset + length - 1}/${file.bytes}`);
  }
  reply.header('content-length', length);
  if (request.method === 'HEAD') return reply.send();
  return reply.send(length === 0 ? Readable.from([]) : await file.open(offset, length));
}

/** Null for what is to be ignored: several ranges, another unit, nonsense. */
function parseRange(text: string, bytes: number): { offset: number; length: number } | 'unsatisfiable' | null {
  const [, first, last] = /^bytes=(\d*)-(\d*)$/.exec(text.trim()) ?? [];
  if (first === undefined || last === undefined || (first === '' && last === '')) return null;
  if (first === '') {
    const length = Math.min(Number(last), bytes);
    return length === 0 ? 'unsatisfiable' : { offset: bytes - length, length };
  }
  const offset = Number(first);
  const end = last === '' ? bytes - 1 : Math.min(Number(last), bytes - 1);
  if (last !== '' && Number(last) < offset) return null;
  return offset >= bytes ? 'unsatisfiable' : { offset, length: end - offset + 1 };
}

function refuseRange(request: FastifyRequest, reply: FastifyReply, { path, bytes }: Sendable): FastifyReply {
  const error = new AmalgamError('invalid_request', `${path} has ${bytes} bytes, so the range is not in it`);
  const problem: Problem = { ...toProblem(error, request.id), status: 416 };
  reply.removeHeader('content-disposition').header('content-range', `bytes */${bytes}`);
  return reply.code(416).type('application/problem+json').send(problem);
}

function matches(header: string | undefined, etag: string): boolean {
  if (header === undefined) return false;
  return header
    .split(',')
    .map((tag) => tag.trim().replace(/^W\//, ''))
    .some((tag) => tag === etag || tag === '*');
}
