import { createHash } from 'node:crypto';
import { copyFile, mkdir, mkdtemp, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Client, createClient } from '@amalgam/client';
import type { Checkpoint } from '@amalgam/contracts';
import { encodeSafetensors } from '@amalgam/tensors';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findBarriers, findBrowser, launchBrowser, NO_BROWSER } from '../support/browser.js';
import { SCREENS } from '../support/dashboard.js';
import { startTestService, type TestService } from '../support/service.js';
import { ZOO } from '../support/zoo-service.js';

// Uploads and what is stored, in a real browser over the real service. AMALGAM_SCREENSHOTS=folder keeps pictures.
const executable = findBrowser();
const NAME = 'checkpoints, graphs and datasets in Chromium';

describe.skipIf(executable === null)(executable === null ? `${NAME}: SKIPPED, ${NO_BROWSER}` : NAME, () => {
  let service: TestService;
  let client: Client;
  let browser: Browser;
  let context: BrowserContext;
  let page: Page;
  let folder: string;
  let base: Checkpoint;
  const complaints: string[] = [];

  const open = async ({ colorScheme, viewport }: (typeof SCREENS)[number]) => {
    const made = await browser.newContext({ baseURL: service.url, colorScheme, viewport });
    made.setDefaultTimeout(30_000);
    const first = await made.newPage();
    first.on('console', (message) => {
      const { url } = message.location();
      // Nobody is signed in at first, and one deletion, one upload and one URI are refused on purpose.
      const expected =
        /status of (401|403|409|422)/.test(message.text()) && /\/v1\/(session|checkpoints\/|datasets)/.test(url);
      if (message.type() === 'error' && !expected) complaints.push(`${message.text()} ${url}`);
    });
    first.on('pageerror', (error) => complaints.push(String(error)));
    await first.goto('/');
    await first.getByLabel('API key').fill(service.apiKey);
    await first.getByRole('button', { name: 'Sign in' }).click();
    await first.getByRole('heading', { name: 'Overview' }).waitFor();
    return { context: made, page: first };
  };
  const picture = async (at: Page, name: string) => {
    const pictures = process.env['AMALGAM_SCREENSHOTS'];
    if (pictures === undefined) return;
    await mkdir(pictures, { recursive: true });
    await at.screenshot({ path: join(pictures, `assets-${name}.png`), fullPage: true });
  };
  const region = (title: string) => page.getByRole('region', { name: title, exact: true }).first();
  const upload = (name: string) => page.getByRole('article', { name: `Upload of ${name}` });
  const named = async (name: string) => {
    for await (const checkpoint of client.checkpoints.list({ name })) return checkpoint;
    throw new Error(`there is no checkpoint ${name}`);
  };
  /** A folder of a model whose weights take `bytes`, filled from a seed. */
  const writeModel = async (name: string, bytes: number, seed: number) => {
    const path = join(folder, name);
    await mkdir(path);
    const values = Float32Array.from({ length: bytes / 4 }, (_, i) => Math.sin(i * 0.37 + seed));
    await writeFile(
      join(path, 'model.safetensors'),
      encodeSafetensors([{ name: 'w', dtype: 'F32', shape: [values.length], data: new Uint8Array(values.buffer) }]),
    );
    await writeFile(join(path, 'config.json'), JSON.stringify({ model_type: 'sine', seed }));
    return path;
  };

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'amalgam-uploads-'));
    service = await startTestService({
      AMALGAM_DEVICE: 'cpu',
      AMALGAM_TUNING_THREADS: '1',
      AMALGAM_ALLOWED_ROOTS: `file://${ZOO}`,
    });
    client = createClient({ baseUrl: service.url, apiKey: service.apiKey });
    browser = await launchBrowser(executable ?? '');
    ({ context, page } = await open(SCREENS[0]));
  }, 180_000);

  afterAll(async () => {
    await browser?.close();
    await service?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  it('says what to do where there is nothing yet', async () => {
    for (const [place, words] of [
      ['Checkpoints', /No checkpoints yet: upload or register/],
      ['Graphs', /No graphs yet: upload or register/],
      ['Datasets', /No datasets yet: upload or register/],
    ] as const) {
      await page.getByRole('navigation').getByRole('link', { name: place }).click();
      await page.getByRole('heading', { name: place, level: 1 }).waitFor();
      await page.getByText(words).waitFor();
    }
  });

  it('uploads two models, each of the files that are chosen being one', async () => {
    await page.goto('/#/checkpoints');
    await page
      .getByLabel('Choose files')
      .setInputFiles([join(ZOO, 'base.safetensors'), join(ZOO, 'digits.safetensors')]);
    const names = page.locator('.draft input');
    expect(
      await names.evaluateAll((inputs) => inputs.map((input) => (input as unknown as { value: string }).value)),
    ).toEqual(['base', 'digits']);
    await names.nth(1).fill('reads digits');
    await page.getByRole('button', { name: 'Upload all 2' }).click();
    for (const name of ['base', 'reads digits']) {
      await upload(name).getByText('ready', { exact: true }).waitFor();
      await page.getByRole('cell', { name }).or(page.getByRole('rowheader', { name })).first().waitFor();
    }
    base = await named('base');
    const sent = await readFile(join(ZOO, 'base.safetensors'));
    expect(base.files).toEqual([
      { path: 'base.safetensors', bytes: sent.length, sha256: createHash('sha256').update(sent).digest('hex') },
    ]);
    await upload('base').getByRole('button', { name: 'Done' }).click();
    await upload('base').waitFor({ state: 'detached' });
  });

  it('takes a folder that is dropped, with what is below it', async () => {
    await page.goto('/#/graphs');
    const path = join(folder, 'digits');
    await mkdir(join(path, '.cache'), { recursive: true });
    await copyFile(join(ZOO, 'digits.onnx'), join(path, 'digits.onnx'));
    await writeFile(join(path, '.cache', 'junk'), 'nobody wants that');
    const box = (await page.locator('.drop').boundingBox())!;
    const debug = await context.newCDPSession(page);
    const data = { items: [], files: [path], dragOperationsMask: 1 };
    for (const type of ['dragEnter', 'dragOver', 'drop'] as const) {
      await debug.send('Input.dispatchDragEvent', { type, x: box.x + 20, y: box.y + 20, data });
    }
    await page.locator('.draft').getByText('digits.onnx').waitFor();
    await page.getByRole('button', { name: 'Upload', exact: true }).click();
    await upload('digits').getByRole('link', { name: 'digits' }).click();
    await region('Inputs and outputs').getByRole('row', { name: /input/ }).first().waitFor();
    await region('Operators')
      .getByRole('row', { name: /MatMul/ })
      .waitFor();
  });

  it('tells why something is refused', async () => {
    await page.goto('/#/datasets');
    const broken = join(folder, 'broken.safetensors');
    await writeFile(broken, 'no header at all');
    await page.getByLabel('Choose files').setInputFiles([broken]);
    await page.getByRole('button', { name: 'Upload', exact: true }).click();
    await upload('broken').getByRole('alert').getByText('invalid_dataset').waitFor();
    await upload('broken').getByRole('button', { name: 'Cancel' }).click();
    await upload('broken').waitFor({ state: 'detached' });
    for await (const dataset of client.datasets.list()) expect.fail(`${dataset.id} is left`);
  });

  it('pauses, and goes on with the same files after the page was loaded anew', async () => {
    const path = await writeModel('sine', 8 << 20, 1);
    const other = await writeModel('other', 4 << 20, 2);
    await page.goto('/#/checkpoints');
    // The weights do not get through, until they may.
    let open = false;
    await page.route('**/v1/objects/**/model.safetensors*', async (route) => {
      if (open) await route.continue();
      else await new Promise((resolve) => setTimeout(resolve, 60_000)).then(() => route.abort().catch(() => {}));
    });
    await page.getByLabel('Choose a folder').setInputFiles(path);
    await page.getByRole('button', { name: 'Upload', exact: true }).click();
    await upload('sine').getByText('1 of 2 files').waitFor();
    await upload('sine').getByRole('button', { name: 'Pause' }).click();
    await upload('sine').getByText('paused').waitFor();
    await picture(page, 'paused');
    const { id, state } = await named('sine');
    expect(state).toBe('pending');

    open = true;
    await page.goto(`/#/checkpoints/${id}`);
    await page.reload();
    await region('Upload')
      .getByText(/B, has arrived/)
      .waitFor();
    await page.getByLabel('Choose a folder').setInputFiles(other);
    await page
      .getByRole('alert')
      .getByText(/"model.safetensors" has 4\.19 MB .* and had 8388\d{3} when/)
      .waitFor();
    expect(await page.getByRole('alert').textContent()).toContain('"config.json" is not the file that has arrived');
    await page.getByLabel('Choose a folder').setInputFiles(path);
    await page.locator('.title').getByText('ready').waitFor();
    await region('Configuration').getByText('"model_type":"sine"').waitFor();
    expect(await named('sine')).toMatchObject({ state: 'ready', tensors: 1 });
    await page.unroute('**/v1/objects/**/model.safetensors*');
  });

  it('goes on within a large file, and sends only the part that did not get through', async () => {
    const path = await writeModel('large', 40 << 20, 3);
    const weightsFile = join(path, 'model.safetensors');
    const changed = 1_700_000_000;
    await utimes(weightsFile, changed, changed);
    await page.goto('/#/checkpoints');
    const held = '**/v1/objects/**part=2*';
    await page.route(held, async (route) => {
      await new Promise((resolve) => setTimeout(resolve, 60_000)).then(() => route.abort().catch(() => {}));
    });
    await page.getByLabel('Choose a folder').setInputFiles(path);
    await page.getByRole('button', { name: 'Upload', exact: true }).click();
    await upload('large')
      .getByText(/^1 of 2 files, (25\.\d|26) MB of /)
      .waitFor();
    await picture(page, 'parts');
    const { id } = await named('large');
    await page.unroute(held);

    await page.goto(`/#/checkpoints/${id}`);
    await page.reload();
    const sent: string[] = [];
    page.on('request', (request) => {
      if (request.method() === 'PUT') sent.push(new URL(request.url()).searchParams.get('part') ?? 'whole');
    });
    // The same size, changed meanwhile: its parts would not be those of the file that was begun.
    await utimes(weightsFile, changed, changed + 60);
    await page.getByLabel('Choose a folder').setInputFiles(path);
    await page.getByRole('alert').getByText('"model.safetensors" was changed after').waitFor();
    await utimes(weightsFile, changed, changed);
    await page.getByLabel('Choose a folder').setInputFiles(path);
    await page.locator('.title').getByText('ready').waitFor();
    expect(sent).toEqual(['2']);
    const whole = createHash('sha256')
      .update(await readFile(weightsFile))
      .digest('hex');
    expect((await named('large')).files.find(({ path: at }) => at === 'model.safetensors')!.sha256).toBe(whole);
  });

  it('registers what is stored already, and says at the field why it cannot', async () => {
    await page.goto('/#/datasets');
    await page.getByText('Or register one that is stored already').click();
    const uri = page.getByLabel('URI', { exact: true });
    const problem = page.locator('.register .wrong');
    await uri.fill('file:///etc/hostname');
    await page.getByRole('button', { name: 'Register' }).click();
    await expect.poll(() => uri.getAttribute('aria-invalid')).toBe('true');
    expect(await problem.first().textContent()).toBe('file:///etc/hostname: is not below an allowed root');
    await picture(page, 'not-registered');

    await uri.fill(`file://${join(ZOO, 'digits.labeled.safetensors')}`);
    await page.getByLabel('Name (optional)').fill('labelled digits');
    await page.getByRole('button', { name: 'Register' }).click();
    await page.getByRole('heading', { name: 'labelled digits', level: 1 }).waitFor();
    await page.getByText(`file://${join(ZOO, 'digits.labeled.safetensors')}`).waitFor();
  });

  it('finds tensors by their names, and sorts them', async () => {
    await page.goto('/#/checkpoints');
    await page.getByLabel('Search names').fill('BAS');
    await page.getByRole('rowheader', { name: 'reads digits' }).waitFor({ state: 'detached' });
    await page.getByRole('link', { name: 'base' }).click();
    const table = region('Tensors').getByRole('table');
    await table.getByRole('row').nth(1).waitFor();
    expect(await table.getAttribute('aria-rowcount')).toBe(String(base.tensors + 1));

    await table.getByRole('button', { name: 'Size' }).click();
    await table.getByRole('button', { name: 'Size' }).click();
    expect(await table.getByRole('columnheader', { name: 'Size' }).getAttribute('aria-sort')).toBe('descending');
    const sizes = [];
    for await (const { name, bytes } of client.checkpoints.tensors(base.id)) sizes.push({ name, bytes });
    const most = Math.max(...sizes.map(({ bytes }) => bytes));
    const largest = sizes.filter(({ bytes }) => bytes === most).map(({ name }) => name);
    expect(largest).toContain(await table.getByRole('rowheader').first().textContent());

    await page.getByRole('searchbox', { name: 'Search' }).fill('blocks FC1 bias');
    const found = sizes.filter(({ name }) => /blocks.*fc1.*bias/.test(name));
    await page.getByText(`${found.length} of ${base.tensors} tensors`).waitFor();
    expect(await table.getByRole('rowheader').count()).toBe(found.length);
  });

  it('shows how the values of a tensor are spread', async () => {
    const name = 'encoder.blocks.0.fc1.weight';
    await page.goto(`/#/checkpoints/${base.id}`);
    await page.getByRole('searchbox', { name: 'Search' }).fill(name);
    await page.getByRole('link', { name, exact: true }).click();
    const values = region(`Values of ${name}`);
    await values.getByRole('img', { name: /^Histogram of 96 bins from / }).waitFor();
    const { min, counts, counted } = await client.checkpoints.histogram(base.id, name, { bins: 96 });
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(counted);
    expect(await values.getByText('Least').locator('..').textContent()).toContain(min!.toPrecision(4).slice(0, 6));
    const bars = (await values.locator('path.bins').getAttribute('d'))!.split('Z').length - 1;
    expect(bars).toBe(96);
    // It is in the address, so it can be passed on.
    await page.reload();
    await values.getByRole('img').waitFor();
    await values.getByRole('link', { name: 'Close' }).click();
    await values.waitFor({ state: 'detached' });
  });

  it('stays smooth with 100 000 tensors', async () => {
    const tensors = Array.from({ length: 100_000 }, (_, i) => ({
      name: `model.layers.${i}.weight`,
      dtype: 'BF16',
      shape: [8, 8],
      bytes: 128,
      file: 'model.safetensors',
      begin: 128 * i,
    }));
    await page.route('**/tensors?*', (route) => {
      const after = Number(
        /layers\.(\d+)/.exec(new URL(route.request().url()).searchParams.get('after') ?? '')?.[1] ?? -1,
      );
      const data = tensors.slice(after + 1, after + 10_001);
      const more = after + 10_001 < tensors.length;
      return route.fulfill({ json: { data, has_more: more, next_cursor: more ? data.at(-1)!.name : null } });
    });
    await page.goto('/#/checkpoints');
    await page.goto(`/#/checkpoints/${base.id}`);
    const table = region('Tensors').getByRole('table');
    await expect.poll(() => table.getAttribute('aria-rowcount'), { timeout: 30_000 }).toBe('100001');
    await region('Tensors')
      .locator('.tensor-scroll')
      .evaluate((box) => {
        const scrolled = box as unknown as { scrollTop: number; scrollHeight: number };
        scrolled.scrollTop = scrolled.scrollHeight;
      });
    await table.getByRole('link', { name: 'model.layers.99999.weight' }).waitFor();
    expect(await table.getByRole('row').count()).toBeLessThan(100);
    await page.getByRole('searchbox', { name: 'Search' }).fill('layers.54321.');
    await table.getByRole('link', { name: 'model.layers.54321.weight' }).waitFor();
    expect(await table.getByRole('rowheader').count()).toBe(1);
    await page.unroute('**/tensors?*');
  });

  it('warns of who uses a checkpoint, and does not delete it while a merge needs it', async () => {
    const digits = await named('reads digits');
    const graph = (await client.graphs.list().next()).value;
    const data = await client.datasets.upload({
      name: 'digits',
      files: [{ path: 'digits.safetensors', file: join(ZOO, 'digits.unlabeled.safetensors') }],
    });
    const merge = await client.merges.create({
      name: 'goes on for long',
      recipe: {
        method: 'adamerging',
        base: base.id,
        models: [{ model: digits.id }],
        tasks: [{ name: 'digits', model: digits.id, graph: graph.id, data: data.id }],
        parameters: { steps: 100_000 },
      },
    });
    await page.goto(`/#/checkpoints/${digits.id}`);
    await region('Lineage').getByRole('link', { name: 'goes on for long' }).waitFor();
    await page.getByRole('button', { name: 'Delete…' }).click();
    const dialog = page.getByRole('dialog', { name: 'Delete “reads digits”?' });
    await dialog.getByText(/Used by 1 merge.*1 of them not finished/s).waitFor();
    await dialog.getByRole('link', { name: 'goes on for long' }).waitFor();
    await dialog.getByRole('button', { name: 'Delete' }).click();
    await dialog.getByRole('alert').getByText('checkpoint_in_use').waitFor();
    await picture(page, 'in-use');
    await dialog.getByRole('button', { name: 'Keep it' }).click();
    await dialog.waitFor({ state: 'detached' });
    await client.merges.cancel(merge.id);
    await client.merges.waitFor(merge.id);
  });

  it('draws where a result comes from and what was made of it', async () => {
    const models = [{ model: (await named('reads digits')).id }];
    const create = async (name: string, from: string) => {
      const { id } = await client.merges.create({ name, recipe: { method: 'linear', base: from, models } });
      return client.merges.waitFor(id);
    };
    const first = await create('first', base.id);
    const second = await create('second', first.result!.checkpoint_id);
    await page.goto(`/#/checkpoints/${first.result!.checkpoint_id}`);
    const columns = region('Lineage').locator('.kin > li');
    await expect.poll(() => columns.count()).toBe(5);
    await columns.nth(0).getByRole('link', { name: 'base' }).waitFor();
    const texts = await columns.allTextContents();
    expect(texts[0]).toBe('Inputsbasereads digits');
    expect(texts[1]).toMatch(/^Made byfirst .*linear$/);
    expect(texts[2]).toMatch(/^This checkpoint/);
    expect(texts[3]).toMatch(/^Used bysecond .*linear$/);
    await columns.nth(4).getByRole('link', { name: 'second' }).click();
    await page.getByText(second.result!.checkpoint_id).first().waitFor();
  });

  it.each(SCREENS)('has no barriers and fits the screen: $name', async (screen) => {
    const made = await open(screen);
    const { result } = (await client.merges.list({ name: 'first' }).next()).value;
    const graph = (await client.graphs.list().next()).value;
    const dataset = (await client.datasets.list().next()).value;
    const tensor = 'encoder.blocks.0.fc1.weight';
    const places: [name: string, path: string, until: string][] = [
      ['checkpoints', 'checkpoints', 'reads digits'],
      ['checkpoint', `checkpoints/${result.checkpoint_id}?tensor=${tensor}`, 'Deviation'],
      ['graph', `graphs/${graph.id}`, 'Operators'],
      ['dataset', `datasets/${dataset.id}`, 'SHA-256'],
    ];
    for (const [name, path, until] of places) {
      await made.page.goto(`/#/${path}`);
      await made.page.getByText(until).first().waitFor();
      if (name === 'checkpoints') {
        await made.page.getByLabel('Choose files').setInputFiles([join(ZOO, 'base.safetensors')]);
      }
      await picture(made.page, `${name}-${screen.name}`);
      expect({ name, barriers: await findBarriers(made.page) }).toEqual({ name, barriers: [] });
      const width = await made.page.evaluate('document.documentElement.scrollWidth');
      expect({ name, width }).toEqual({ name, width: screen.viewport.width });
    }
    await made.page.getByRole('button', { name: 'Delete…' }).click();
    await made.page
      .getByRole('dialog')
      .getByText(/Used by|No merge uses it/)
      .waitFor();
    expect(await findBarriers(made.page)).toEqual([]);
    await made.context.close();
  });

  it('deletes what no merge needs', async () => {
    const { id } = await named('sine');
    await page.goto(`/#/checkpoints/${id}`);
    await page.getByRole('button', { name: 'Delete…' }).click();
    await page.getByRole('dialog').getByText('No merge uses it.').waitFor();
    await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
    await page.getByRole('heading', { name: 'Checkpoints', level: 1 }).waitFor();
    await expect(client.checkpoints.get(id)).rejects.toMatchObject({ code: 'not_found' });
  });

  it('broke no rule of its own policy', async () => {
    await context.close();
    expect(complaints).toEqual([]);
  });
});
