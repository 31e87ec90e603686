import type { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { AmalgamError } from '@amalgam/contracts';
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  ListMultipartUploadsCommand,
  ListPartsCommand,
  type Part,
  type S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import { checkExpires, missingPart, shortPart } from './keys.js';
import { limitBytes } from './limit-bytes.js';
import type { ObjectInfo, PartInfo, PartUpload, SignedPartOptions } from './port.js';
import { isNotFound, s3Error } from './s3-errors.js';
import { mustHead, type S3Object } from './s3-read.js';

/** A multipart upload of S3. The server knows which there are and what of them has arrived, so nothing of it is kept elsewhere. */
export class S3PartUpload implements PartUpload {
  readonly #object: S3Object;
  readonly #signer: S3Client;
  readonly #id: string;

  constructor(object: S3Object, signer: S3Client, id: string) {
    this.#object = object;
    this.#signer = signer;
    this.#id = id;
  }

  async list(): Promise<PartInfo[]> {
    const parts = await this.#parts();
    return parts.map(({ PartNumber = 0, Size = 0 }) => ({ number: PartNumber, bytes: Size }));
  }

  async signedUrl({ number, bytes, expiresSeconds }: SignedPartOptions): Promise<string> {
    const command = new UploadPartCommand({ ...this.#target(), PartNumber: number, ContentLength: bytes });
    const expiresIn = checkExpires(expiresSeconds);
    return call(this.#object, () => getSignedUrl(this.#signer, command, { expiresIn }));
  }

  async put(number: number, stream: Readable, bytes: number): Promise<void> {
    // In memory, so that it can be sent again. Large parts come by their links.
    const Body = await buffer(limitBytes(this.#object.name, stream, bytes));
    if (Body.byteLength !== bytes) throw shortPart(this.#object.name, number, Body.byteLength, bytes);
    const command = new UploadPartCommand({ ...this.#target(), PartNumber: number, Body });
    await call(this.#object, () => this.#object.client.send(command));
  }

  async complete(count: number): Promise<ObjectInfo> {
    const tags = new Map((await this.#parts()).map(({ PartNumber, ETag }) => [PartNumber, ETag]));
    const Parts = Array.from({ length: count }, (_, i) => {
      const ETag = tags.get(i + 1);
      if (ETag === undefined) throw missingPart(this.#object.name, i + 1);
      return { PartNumber: i + 1, ETag };
    });
    const command = new CompleteMultipartUploadCommand({ ...this.#target(), MultipartUpload: { Parts } });
    await call(this.#object, () => this.#object.client.send(command));
    return mustHead(this.#object);
  }

  async abort(): Promise<void> {
    try {
      await this.#object.client.send(new AbortMultipartUploadCommand(this.#target()));
    } catch (error) {
      if (!isNotFound(error)) throw s3Error(error, this.#object);
    }
  }

  async #parts(): Promise<Part[]> {
    const parts: Part[] = [];
    for (let marker: string | undefined; ; ) {
      const command = new ListPartsCommand({
        ...this.#target(),
        ...(marker === undefined ? {} : { PartNumberMarker: marker }),
      });
      const page = await call(this.#object, () => this.#object.client.send(command));
      parts.push(...(page.Parts ?? []));
      if (page.IsTruncated !== true || page.NextPartNumberMarker === undefined) return parts;
      marker = page.NextPartNumberMarker;
    }
  }

  #target(): { Bucket: string; Key: string; UploadId: string } {
    return { Bucket: this.#object.bucket, Key: this.#object.key, UploadId: this.#id };
  }
}

/** Begins one; returns its id. */
export async function createMultipart(object: S3Object): Promise<string> {
  const command = new CreateMultipartUploadCommand({ Bucket: object.bucket, Key: object.key });
  const { UploadId } = await call(object, () => object.client.send(command));
  if (UploadId !== undefined) return UploadId;
  throw new AmalgamError('storage_error', `s3://${object.bucket}/${object.key}: the server gave no upload id`);
}

/** The id of the one that is under way: the oldest, when two were begun at one time. */
export async function findMultipart(object: S3Object): Promise<string | null> {
  const found: { id: string; at: number }[] = [];
  for (let at: { KeyMarker?: string; UploadIdMarker?: string } = {}; ; ) {
    const command = new ListMultipartUploadsCommand({ Bucket: object.bucket, Prefix: object.key, ...at });
    const page = await call(object, () => object.client.send(command));
    for (const { Key, UploadId, Initiated } of page.Uploads ?? []) {
      if (Key === object.key && UploadId !== undefined) found.push({ id: UploadId, at: Initiated?.getTime() ?? 0 });
    }
    if (page.IsTruncated !== true) break;
    at = { KeyMarker: page.NextKeyMarker, UploadIdMarker: page.NextUploadIdMarker };
  }
  const [oldest] = found.sort((a, b) => a.at - b.at || (a.id < b.id ? -1 : 1));
  return oldest?.id ?? null;
}

async function call<T>(object: S3Object, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    throw s3Error(error, object);
  }
}
