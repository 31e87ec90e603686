import { AmalgamError, chunksOf } from '@amalgam/contracts';
import { type HubClient, refusal, SILENCE_MS } from './hub-client.js';
import type { HubPlace } from './hub-errors.js';
import { pastEnd } from './keys.js';

/** A file of a commit, as the hub lists it. */
export interface HubFile {
  /** In the repository. */
  path: string;
  bytes: number;
  digest: HubDigest;
}

/** SHA-256 of the bytes (files of Git LFS), or SHA-1 of git's blob; in hex. */
export interface HubDigest {
  kind: 'sha256' | 'git';
  hex: string;
}

/** The bytes of one file of a commit, by ranges. Where a redirect led is remembered: the hub itself is asked rarely. */
export class HubReader {
  readonly #client: HubClient;
  readonly #place: HubPlace;
  readonly #file: HubFile;
  readonly #home: URL;
  #location: URL | null = null;

  constructor(client: HubClient, place: HubPlace, commit: string, file: HubFile) {
    this.#client = client;
    this.#place = place;
    this.#file = file;
    this.#home = client.fileUrl(place.repo, commit, file.path);
  }

  /** Exactly `length` bytes, in an ArrayBuffer of their own. @throws storage_error; hub_refused; not_found */
  async read(offset: number, length: number): Promise<Uint8Array> {
    if (offset + length > this.#file.bytes) throw pastEnd(this.#place.label, offset, length, this.#file.bytes);
    const bytes = new Uint8Array(length);
    await this.stream(offset, length, async (chunk, at) => bytes.set(chunk, at - offset));
    return bytes;
  }

  /**
   * Hands `length` bytes from `offset` over in order. What breaks off is taken up where it broke.
   * @throws as `read`; what `take` throws; the signal's reason
   */
  async stream(
    offset: number,
    length: number,
    take: (chunk: Uint8Array, offset: number) => Promise<void> | void,
    signal?: AbortSignal,
  ): Promise<void> {
    const end = offset + length;
    let at = offset;
    let failed: { error: unknown } | null = null;
    const hand = async (chunk: Uint8Array): Promise<void> => {
      try {
        await take(chunk, at);
        at += chunk.byteLength;
      } catch (error) {
        failed = { error };
        throw error;
      }
    };
    while (at < end) {
      const before = at;
      const attempt = async (): Promise<void> => {
        try {
          await this.#range(at, end, signal, hand);
        } catch (error) {
          // What came is kept, and the count of failures begins anew.
          if (failed === null && (at === before || signal?.aborted === true)) throw error;
        }
      };
      await this.#client.patiently(this.#place, attempt, signal);
      if (failed !== null) throw (failed as { error: unknown }).error;
    }
  }

  async #range(
    begin: number,
    end: number,
    signal: AbortSignal | undefined,
    take: (chunk: Uint8Array) => Promise<void>,
  ): Promise<void> {
    const silence = new AbortController();
    const timer = setTimeout(() => silence.abort(new Error('no answer')), SILENCE_MS);
    try {
      const both = signal === undefined ? silence.signal : AbortSignal.any([signal, silence.signal]);
      const response = await this.#open(`bytes=${begin}-${end - 1}`, both);
      if (!this.#isRange(response, begin, end)) {
        await response.body?.cancel();
        const rule = 'the server of its bytes does not answer with the range that was asked for';
        throw new AmalgamError('storage_error', `${this.#place.label}: ${rule}`);
      }
      let left = end - begin;
      for await (const chunk of response.body === null ? [] : chunksOf(response.body, both)) {
        timer.refresh();
        const part = chunk.subarray(0, left);
        await take(part);
        left -= part.byteLength;
        if (left === 0) break;
      }
      if (left > 0) throw new Error('the answer broke off');
    } finally {
      clearTimeout(timer);
    }
  }

  async #open(range: string, signal: AbortSignal): Promise<Response> {
    if (this.#location !== null) {
      const { response } = await this.#client.get(this.#place, this.#location, { range }, signal);
      if (response.status === 206 || response.status === 200) return response;
      // Links of the hub's stores are good for minutes.
      await response.body?.cancel();
      this.#location = null;
    }
    const { response, url } = await this.#client.get(this.#place, this.#home, { range }, signal);
    if (!response.ok) throw await refusal(response);
    if (url.origin !== this.#home.origin) this.#location = url;
    return response;
  }

  /** The range that was asked for, of a file of the size that was listed; or the whole file, which begins with it. */
  #isRange({ status, headers }: Response, begin: number, end: number): boolean {
    const { bytes } = this.#file;
    if (status === 206) return headers.get('content-range') === `bytes ${begin}-${end - 1}/${bytes}`;
    const isWhole = status === 200 && begin === 0;
    return isWhole && [null, String(bytes)].includes(headers.get('content-length'));
  }
}
