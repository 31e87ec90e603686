import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { AmalgamError } from '@amalgam/contracts';
import { errno, fileError, isMissing } from './file-errors.js';
import { publish } from './file-publish.js';
import type { FileRoot } from './file-root.js';
import { missingPart, shortPart } from './keys.js';
import { limitBytes } from './limit-bytes.js';
import type { ObjectInfo, PartInfo, PartUpload, SignedPartOptions } from './port.js';

const BUFFER_BYTES = 1024 * 1024;

interface FilePartUploadOptions {
  root: FileRoot;
  key: string;
  sign(options: SignedPartOptions): string;
}

/**
 * An upload in parts as a folder of temporary files, `.tmp/parts-<digest of the key>/<number>`. It counts as touched whenever
 * a part arrives, so the sweep of temporary files takes it when nobody has sent anything for long.
 */
export class FilePartUpload implements PartUpload {
  readonly #root: FileRoot;
  readonly #key: string;
  readonly #sign: (options: SignedPartOptions) => string;

  constructor(options: FilePartUploadOptions) {
    this.#root = options.root;
    this.#key = options.key;
    this.#sign = options.sign;
  }

  /** Makes its folder, unless it is there. */
  async begin(): Promise<void> {
    await this.#guard(async () => {
      await mkdir(await this.#folder(), { recursive: true });
    });
  }

  /** Is its folder there? */
  async exists(): Promise<boolean> {
    return stat(await this.#folder()).then(
      () => true,
      () => false,
    );
  }

  async list(): Promise<PartInfo[]> {
    return this.#guard(async () => {
      const folder = await this.#folder();
      const parts: PartInfo[] = [];
      for (const name of await readdir(folder)) {
        parts.push({ number: Number(name), bytes: (await stat(join(folder, name))).size });
      }
      return parts.sort((a, b) => a.number - b.number);
    });
  }

  async signedUrl(options: SignedPartOptions): Promise<string> {
    return this.#sign(options);
  }

  async put(number: number, stream: Readable, bytes: number): Promise<void> {
    const temp = await this.#root.temp();
    try {
      await this.#guard(async () => {
        const out = createWriteStream(temp, { flags: 'wx', highWaterMark: BUFFER_BYTES });
        await pipeline(stream, (source) => limitBytes(this.#key, source, bytes), out);
        const file = await open(temp, 'r');
        try {
          const { size } = await file.stat();
          if (size !== bytes) throw shortPart(this.#key, number, size, bytes);
          await file.sync();
        } finally {
          await file.close();
        }
        await rename(temp, join(await this.#folder(), String(number)));
      });
    } finally {
      await rm(temp, { force: true });
    }
  }

  async complete(count: number): Promise<ObjectInfo> {
    return this.#guard(async () => {
      const folder = await this.#folder();
      const there = new Set(await readdir(folder));
      const temp = await this.#root.temp();
      try {
        for (let number = 1; number <= count; number++) {
          if (!there.has(String(number))) throw missingPart(this.#key, number);
          await pipeline(
            createReadStream(join(folder, String(number)), { highWaterMark: BUFFER_BYTES }),
            createWriteStream(temp, { flags: 'a', highWaterMark: BUFFER_BYTES }),
          );
        }
        // Where two have read the parts to their end, the object of the first stays what its caller was told of.
        const { bytes, etag, modified } = await publish(this.#root, this.#key, temp, true);
        await this.abort();
        return { key: this.#key, bytes, etag, modified };
      } finally {
        await rm(temp, { force: true });
      }
    });
  }

  async abort(): Promise<void> {
    await this.#guard(async () => {
      // Away at once: what arrives while the parts are removed one by one has nowhere to go.
      const gone = await this.#root.temp();
      try {
        await rename(await this.#folder(), gone);
      } catch (error) {
        if (isMissing(error)) return;
        throw error;
      }
      await rm(gone, { recursive: true, force: true });
    });
  }

  async #folder(): Promise<string> {
    const digest = createHash('sha256').update(this.#key).digest('hex');
    return join(dirname(await this.#root.temp()), `parts-${digest}`);
  }

  async #guard<T>(run: () => Promise<T>): Promise<T> {
    try {
      return await run();
    } catch (error) {
      if (errno(error) === 'ENOENT') {
        throw new AmalgamError('not_found', `object ${this.#key}: its upload in parts has ended`, { cause: error });
      }
      throw fileError(error, `object ${this.#key}`, undefined);
    }
  }
}
