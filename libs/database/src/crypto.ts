import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';
import { AmalgamError } from '@amalgam/contracts';

const VERSION = 'v1';
const IV_BYTES = 12;
const TAG_BYTES = 16;

interface Key {
  id: string;
  bytes: Buffer;
}

/**
 * Seals secrets for the database with AES-256-GCM. A sealed text is `v1.<key id>.<iv>.<ciphertext and tag>`, the last
 * two in base64url; the key id is the start of the key's sha256. `context` (the owner's id) is authenticated with it,
 * so that a sealed text copied to another row does not open there.
 */
export class Vault {
  readonly #keys: Key[];

  /** The first key seals, all of them open: put a new key in front to rotate. */
  constructor(keys: readonly Uint8Array[]) {
    this.#keys = keys.map((key) => {
      if (key.length !== 32) throw new AmalgamError('internal', `a secret key has 32 bytes, not ${key.length}`);
      return { id: createHash('sha256').update(key).digest('hex').slice(0, 8), bytes: Buffer.from(key) };
    });
  }

  /** False when no key was given: then nothing can be sealed. */
  get canSeal(): boolean {
    return this.#keys.length > 0;
  }

  seal(text: string, context: string): string {
    const key = this.#keys[0];
    if (key === undefined) throw new AmalgamError('internal', 'no secret key is configured, so no secret can be kept');
    const iv = randomBytes(IV_BYTES);
    const cipher = createCipheriv('aes-256-gcm', key.bytes, iv).setAAD(Buffer.from(context));
    const sealed = Buffer.concat([cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()]);
    return [VERSION, key.id, iv.toString('base64url'), sealed.toString('base64url')].join('.');
  }

  open(sealed: string, context: string): string {
    const [version, keyId, iv, data] = sealed.split('.');
    const key = this.#keys.find(({ id }) => id === keyId);
    if (version !== VERSION || iv === undefined || data === undefined) {
      throw new AmalgamError('internal', 'a sealed secret is malformed');
    }
    if (key === undefined) {
      throw new AmalgamError('internal', `a secret was sealed with key ${keyId}, which is not configured`);
    }
    const bytes = Buffer.from(data, 'base64url');
    try {
      const decipher = createDecipheriv('aes-256-gcm', key.bytes, Buffer.from(iv, 'base64url'), {
        authTagLength: TAG_BYTES,
      })
        .setAAD(Buffer.from(context))
        .setAuthTag(bytes.subarray(-TAG_BYTES));
      return Buffer.concat([decipher.update(bytes.subarray(0, -TAG_BYTES)), decipher.final()]).toString('utf8');
    } catch (cause) {
      throw new AmalgamError('internal', 'a sealed secret does not open: wrong key, or it was altered', { cause });
    }
  }
}
