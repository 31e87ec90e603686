import { createHash } from 'node:crypto';
import { request } from 'node:http';
import type { Checkpoint, Problem, UploadPart } from '@amalgam/contracts';
import { beforeAll, describe, expect, it } from 'vitest';
import { assertSendable, partBytesOf, partsOf } from '../../src/services/upload-parts.js';
import { useWorld, weights } from '../support/world.js';

const MIB = 1024 * 1024;

describe('the parts of a file', () => {
  it('cover it, none is longer than the others, and a file that is no longer than one has none', () => {
    expect(partsOf(16 * MIB, 16 * MIB)).toEqual([]);
    expect(partsOf(40 * MIB + 1, 16 * MIB)).toEqual([
      { number: 1, offset: 0, bytes: 16 * MIB },
      { number: 2, offset: 16 * MIB, bytes: 16 * MIB },
      { number: 3, offset: 32 * MIB, bytes: 8 * MIB + 1 },
    ]);
  });

  it('are as small as S3 likes them, and not too many', () => {
    expect(partBytesOf([{ bytes: 5 * 2 ** 30 }])).toBe(16 * MIB);
    const huge = Array.from({ length: 30 }, () => ({ bytes: BigInt(40 * 2 ** 30) }));
    const bytes = partBytesOf(huge);
    expect(bytes % MIB).toBe(0);
    expect(huge.length * partsOf(40 * 2 ** 30, bytes).length).toBeLessThan(2100);
  });

  it('could not hold everything', () => {
    const files = [{ bytes: 5 * 2 ** 40 }, { bytes: 4 * 2 ** 40 }];
    expect(() => assertSendable(files)).not.toThrow();
    expect(() => assertSendable([...files, { bytes: 2 ** 40 }])).toThrow(/at most \d+ bytes/);
  });
});

describe('an upload in parts', () => {
  const world = useWorld();
  // No two places of it are alike.
  const model = weights(1, [10_000, 1050]);
  for (let at = 1024; at + 4 < model.length; at += 4096) model.writeUInt32LE(at, at);
  beforeAll(async () => {
    await world.listen();
  });

  const begin = async () => {
    const files = [
      { path: 'model.safetensors', bytes: model.length },
      { path: 'config.json', bytes: 2 },
    ];
    const { body } = await world.call<Checkpoint>('POST', '/v1/checkpoints', { body: { files } });
    return body;
  };
  const partsIn = ({ uploads }: Checkpoint) => uploads!.find(({ path }) => path === 'model.safetensors')!.parts!;
  const put = (url: string, bytes: Buffer) => fetch(url, { method: 'PUT', body: new Uint8Array(bytes) });
  const send = (part: UploadPart) => put(part.url, model.subarray(part.offset, part.offset + part.bytes));
  const resume = async (id: string) => (await world.call<Checkpoint>('POST', `/v1/checkpoints/${id}/uploads`)).body;
  const complete = (id: string) => world.call<Checkpoint & Problem>('POST', `/v1/checkpoints/${id}/complete`);
  const partsLeft = async (id: string) =>
    (await world.parts.store.findParts(`checkpoints/${id}/model.safetensors`)) !== null;
  /** Sends half of a part, and then the connection breaks. */
  const breakOff = (part: UploadPart) =>
    new Promise<void>((resolve) => {
      const sent = request(part.url, { method: 'PUT', headers: { 'content-length': String(part.bytes) } });
      sent.on('error', () => resolve()).on('close', () => resolve());
      const half = model.subarray(part.offset, part.offset + part.bytes / 2);
      sent.write(half, () => setTimeout(() => sent.destroy(), 50));
    });

  it('goes on after a break with the parts that have not arrived whole', async () => {
    const begun = await begin();
    const [one, two, three] = partsIn(begun);
    expect(partsIn(begun)).toHaveLength(3);
    expect(begun.uploads!.find(({ path }) => path === 'config.json')!.parts).toBeUndefined();
    expect((await send(three!)).status).toBe(200);
    expect((await send(one!)).status).toBe(200);
    await breakOff(two!);
    expect((await complete(begun.id)).body.detail).toContain(
      '"model.safetensors" has not arrived: 2 of its 3 parts have',
    );

    const left = await resume(begun.id);
    expect(partsIn(left).map(({ number }) => number)).toEqual([2]);
    expect((await send(partsIn(left)[0]!)).status).toBe(200);
    expect(partsIn(await resume(begun.id))).toEqual([]);
    const config = left.uploads!.find(({ path }) => path === 'config.json')!;
    await put(config.url, Buffer.from('{}'));

    const done = await complete(begun.id);
    expect(done).toMatchObject({ status: 200, body: { state: 'ready' } });
    const sha256 = createHash('sha256').update(model).digest('hex');
    expect(done.body.files).toContainEqual({ path: 'model.safetensors', bytes: model.length, sha256 });
    expect(await partsLeft(begun.id)).toBe(false);
    expect(await send(two!)).toMatchObject({ status: 412 });
  });

  it('may be sent as a whole all the same', async () => {
    const begun = await begin();
    await send(partsIn(begun)[0]!);
    for (const { path, url } of begun.uploads!) await put(url, path === 'config.json' ? Buffer.from('{}') : model);
    expect((await complete(begun.id)).body.state).toBe('ready');
    expect(await partsLeft(begun.id)).toBe(false);
  });

  it('refuses a part of another size, and one after the upload was deleted; nothing is left', async () => {
    const begun = await begin();
    const [part] = partsIn(begun);
    const short = await put(part!.url, model.subarray(0, 100));
    expect({ status: short.status, body: await short.json() }).toMatchObject({
      status: 422,
      body: { code: 'digest_mismatch', detail: expect.stringContaining('part 1') },
    });
    expect((await put(part!.url.replace('part=1', 'part=2'), model)).status).toBe(403);
    await send(part!);
    expect(await partsLeft(begun.id)).toBe(true);
    expect((await world.call('DELETE', `/v1/checkpoints/${begun.id}`)).status).toBe(204);
    expect(await partsLeft(begun.id)).toBe(false);
    expect((await send(part!)).status).toBe(404);
  });

  it('is completed once when two ask for it at one time', async () => {
    const begun = await begin();
    for (const part of partsIn(begun)) await send(part);
    await put(begun.uploads!.find(({ path }) => path === 'config.json')!.url, Buffer.from('{}'));
    const answers = await Promise.all([complete(begun.id), complete(begun.id)]);
    // One may have found the parts taken and the file not yet there; asked again, it is.
    expect(answers.map(({ status }) => status)).toContain(200);
    expect((await complete(begun.id)).body.state).toBe('ready');
  });
});
