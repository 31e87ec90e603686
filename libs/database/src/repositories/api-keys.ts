import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { AmalgamError, ID_PREFIXES } from '@amalgam/contracts';
import type { Context } from '../context.js';
import type { ApiKey } from '../generated/client.js';
import { newId } from '../ids.js';
import { assertStorable } from '../json.js';
import { KeyCache } from '../key-cache.js';

const TOKEN = /^amk_([0-9A-HJKMNP-TV-Z]{26})_([0-9a-f]{48})$/;
const SECRET_BYTES = 24;
const LAST_USED_EVERY_MS = 60_000;

/** A key without its digest. */
export type ApiKeyRow = Omit<ApiKey, 'secretSha256'>;

export interface NewApiKey {
  name: string;
  scopes?: string[];
  expiresAt?: Date;
}

/** Keys are `amk_<public id>_<192-bit secret>`. Only the secret's sha256 is kept: it is random, so no slow hash is needed. */
export class ApiKeyRepository {
  readonly #good: KeyCache<ApiKeyRow>;

  constructor(
    private readonly context: Context,
    ttlMs: number,
  ) {
    this.#good = new KeyCache(ttlMs);
  }

  /** Makes a key. The token is returned here and never again. */
  async createKey(projectId: string, input: NewApiKey): Promise<{ key: ApiKeyRow; token: string }> {
    assertStorable(input);
    const id = newId('apiKey');
    const secret = randomBytes(SECRET_BYTES).toString('hex');
    const key = await this.context.prisma.apiKey.create({
      data: {
        id,
        projectId,
        name: input.name,
        scopes: input.scopes ?? [],
        expiresAt: input.expiresAt ?? null,
        secretSha256: sha256(secret),
      },
      omit: { secretSha256: true },
    });
    return { key, token: `amk_${id.slice(ID_PREFIXES.apiKey.length + 1)}_${secret}` };
  }

  /**
   * The key that this token opens, and so its project. Throws `unauthorized` for what is no token of ours, in the same time and
   * words whether the public half exists or not; `key_revoked` and `key_expired` only to whoever knows the secret. A key that
   * was good a moment ago is not looked up again, so one that another process revoked may work for that moment.
   */
  async authenticate(token: string): Promise<ApiKeyRow> {
    const key = await this.#good.get(token, () => this.#find(token));
    assertNotExpired(key);
    return key;
  }

  async #find(token: string): Promise<ApiKeyRow> {
    const [, publicId, secret] = TOKEN.exec(token) ?? [];
    const row = await this.context.prisma.apiKey.findUnique({
      where: { id: `${ID_PREFIXES.apiKey}_${publicId ?? ''}` },
    });
    const same = timingSafeEqual(sha256(secret ?? ''), row?.secretSha256 ?? Buffer.alloc(32));
    if (row === null || secret === undefined || !same) {
      throw new AmalgamError('unauthorized', 'the API key is missing or wrong');
    }
    const now = Date.now();
    const { secretSha256: _, ...key } = row;
    if (key.revokedAt !== null) throw new AmalgamError('key_revoked', `the API key ${key.id} was revoked`);
    assertNotExpired(key);
    if (key.lastUsedAt === null || now - key.lastUsedAt.getTime() >= LAST_USED_EVERY_MS) {
      await this.context.prisma.apiKey.updateMany({ where: { id: key.id }, data: { lastUsedAt: new Date(now) } });
    }
    return key;
  }

  /** Revokes a key, in this process at once; revoking twice changes nothing. Throws `not_found`. */
  async revoke(projectId: string, id: string): Promise<ApiKeyRow> {
    await this.context.prisma.apiKey.updateMany({
      where: { id, projectId, revokedAt: null },
      data: { revokedAt: new Date() },
    });
    this.#good.clear();
    const key = await this.context.prisma.apiKey.findUnique({
      where: { id, projectId },
      omit: { secretSha256: true },
    });
    if (key === null) throw new AmalgamError('not_found', `there is no API key ${id}`);
    return key;
  }

  /** All keys of a project, the oldest first, revoked ones too. */
  async list(projectId: string): Promise<ApiKeyRow[]> {
    return this.context.prisma.apiKey.findMany({
      where: { projectId },
      orderBy: { id: 'asc' },
      omit: { secretSha256: true },
    });
  }

  /** How many keys there are that are not revoked, of one project or of all. */
  async countKeys(projectId?: string): Promise<number> {
    return this.context.prisma.apiKey.count({
      where: { revokedAt: null, ...(projectId === undefined ? {} : { projectId }) },
    });
  }
}

function assertNotExpired(key: ApiKeyRow): void {
  if (key.expiresAt === null || key.expiresAt.getTime() > Date.now()) return;
  throw new AmalgamError('key_expired', `the API key ${key.id} expired at ${key.expiresAt.toISOString()}`);
}

function sha256(text: string): Buffer<ArrayBuffer> {
  return createHash('sha256').update(text).digest() as Buffer<ArrayBuffer>;
}
