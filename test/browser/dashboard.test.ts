import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type Client, createClient } from '@amalgam/client';
import type { Merge, Recipe, Report } from '@amalgam/contracts';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findBarriers, findBrowser, launchBrowser, NO_BROWSER } from '../support/browser.js';
import { SCREENS } from '../support/dashboard.js';
import { startTestService, type TestService } from '../support/service.js';
import { uploadZoo } from '../support/zoo-service.js';

// The dashboard in a real browser, over the real service. AMALGAM_SCREENSHOTS=folder keeps pictures of its pages.
const executable = findBrowser();
const NAME = 'the dashboard in Chromium';
const TASKS = ['digits', 'shapes', 'blobs'];
const ENDLESS = 100_000;

/** What is asked of a canvas; the tests are compiled without the browser's types. */
interface Canvas {
  width: number;
  height: number;
  getContext(kind: '2d'): {
    getImageData(x: number, y: number, width: number, height: number): { data: Uint8ClampedArray<ArrayBuffer> };
  };
}

describe.skipIf(executable === null)(executable === null ? `${NAME}: SKIPPED, ${NO_BROWSER}` : NAME, () => {
  let service: TestService;
  let client: Client;
  let browser: Browser;
  let context: BrowserContext;
  let page: Page;
  let recipe: Recipe;
  let ties: Merge;
  let tuned: Merge;
  /** What the browser complained of, and where it asked beside the service. */
  const complaints: string[] = [];

  const open = async (screen: (typeof SCREENS)[number]) => {
    const { colorScheme, viewport } = screen;
    const made = await browser.newContext({ baseURL: service.url, colorScheme, viewport });
    made.setDefaultTimeout(30_000);
    const first = await made.newPage();
    first.on('console', (message) => {
      // Nobody is signed in when the page is opened for the first time, and it asks.
      const expected = /status of 401/.test(message.text()) && message.location().url.endsWith('/v1/session');
      if (message.type() === 'error' && !expected) complaints.push(`${message.text()} ${message.location().url}`);
    });
    first.on('pageerror', (error) => complaints.push(String(error)));
    first.on('request', (request) => {
      if (!request.url().startsWith(`${service.url}/`)) complaints.push(`asked for ${request.url()}`);
    });
    return { context: made, page: first };
  };
  const signIn = async (at: Page) => {
    await at.goto('/');
    await at.getByLabel('API key').fill(service.apiKey);
    await at.getByRole('button', { name: 'Sign in' }).click();
    await at.getByRole('heading', { name: 'Overview' }).waitFor();
  };
  const submit = (name: string, changes: Partial<Recipe>) =>
    client.merges.create({ name, recipe: { ...recipe, ...changes } });
  const tune = (name: string, steps: number) =>
    submit(name, { method: 'adamerging', parameters: { granularity: 'layer', steps, init: 0.3 } });
  const picture = async (at: Page, name: string) => {
    const folder = process.env['AMALGAM_SCREENSHOTS'];
    if (folder === undefined) return;
    await mkdir(folder, { recursive: true });
    await at.screenshot({ path: join(folder, `${name}.png`), fullPage: true });
  };
  const region = (at: Page, title: string) => at.getByRole('region', { name: title, exact: true });
  /** The different colours among a canvas's pixels. */
  const colorsOf = (at: Page, title: string) =>
    region(at, title)
      .locator('canvas')
      .evaluate((canvas) => {
        const { width, height, getContext } = canvas as unknown as Canvas;
        const { data } = getContext.call(canvas, '2d').getImageData(0, 0, width, height);
        return new Set(new Uint32Array(data.buffer)).size;
      });

  beforeAll(async () => {
    service = await startTestService({ AMALGAM_DEVICE: 'cpu', AMALGAM_TUNING_THREADS: '1' });
    client = createClient({ baseUrl: service.url, apiKey: service.apiKey });
    recipe = await uploadZoo(client, TASKS, { method: 'ties', parameters: { lambda: 0.5 } });
    const made = await submit('ties of three', {});
    ties = await client.merges.waitFor(made.id);
    browser = await launchBrowser(executable ?? '');
    ({ context, page } = await open(SCREENS[0]));
  }, 180_000);

  afterAll(async () => {
    await browser?.close();
    await service?.stop();
  });

  it('lets in who has a key, and keeps the key from scripts', async () => {
    await page.goto('/#/merges');
    await page.getByLabel('API key').fill('amk_wrong');
    await picture(page, 'sign-in');
    const refused = page.waitForResponse((response) => response.request().method() === 'POST');
    await page.getByRole('button', { name: 'Sign in' }).click();
    expect((await refused).status()).toBe(401);
    expect(await page.getByRole('alert').textContent()).toContain('the API key is missing or wrong');

    await page.getByLabel('API key').fill(service.apiKey);
    await page.getByRole('button', { name: 'Sign in' }).click();
    // Where the reader wanted to go.
    await page.getByRole('heading', { name: 'Merges' }).waitFor();
    expect(await page.evaluate('document.cookie')).toBe('');
    const [cookie] = await context.cookies(`${service.url}/v1`);
    expect(cookie).toMatchObject({ httpOnly: true, sameSite: 'Strict', path: '/v1' });
    expect(cookie?.value).not.toContain(service.apiKey.slice(4));
    await page.reload();
    await page.getByRole('heading', { name: 'Merges' }).waitFor();
  });

  it('finds a merge by method and state', async () => {
    await page.getByRole('link', { name: 'ties of three' }).waitFor();
    await page.getByLabel('Method').selectOption('linear');
    await page.getByText('No merge is like that.').waitFor();
    await page.getByLabel('Method').selectOption('ties');
    await page.getByLabel('State').selectOption('succeeded');
    expect(new URL(page.url()).hash).toBe('#/merges?state=succeeded&method=ties');
    await page.getByRole('link', { name: 'ties of three' }).click();
    await page.getByRole('heading', { name: 'ties of three' }).waitFor();
  });

  it('shows of a finished merge its accuracies, its trims, its files and how to make it again', async () => {
    const report = await client.merges.report(ties.id);
    const { accuracy, individual } = report.tasks![0]!;
    const row = region(page, 'Accuracy by task')
      .first()
      .getByRole('row', { name: /^digits/ });
    const shares = await row.locator('.bar-value').allTextContents();
    const expected = [accuracy, individual.accuracy].map((share) => `${(share! * 100).toFixed(1)} %`);
    expect(shares.slice(0, 2)).toEqual(expected);
    const [bar, track] = await Promise.all(
      ['.bar', '.bar-track'].map((part) => row.locator(part).first().boundingBox()),
    );
    expect(bar!.width / track!.width).toBeCloseTo(accuracy!, 1);

    expect(await colorsOf(page, 'Trimmed share')).toBeGreaterThan(10);
    expect(await colorsOf(page, 'Sign conflicts')).toBeGreaterThan(10);

    const file = ties.result!.files.find(({ path }) => path === 'model.safetensors')!;
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      region(page, 'Files').getByRole('link', { name: 'model.safetensors' }).click(),
    ]);
    const chunks: Buffer[] = [];
    for await (const chunk of await download.createReadStream()) chunks.push(chunk as Buffer);
    expect(Buffer.concat(chunks).length).toBe(file.bytes);

    const command = await region(page, 'The same again').first().locator('pre').textContent();
    const body = /-d '(.*)'$/s.exec(command!)![1]!;
    expect(JSON.parse(body)).toMatchObject({ name: 'ties of three', recipe: { method: 'ties', base: recipe.base } });
    expect(command).not.toContain(service.apiKey.slice(4));
  });

  it('tells the tensor and the value of a cell, to the mouse and to the keyboard', async () => {
    const { tensors, inputs } = await client.merges.report(ties.id);
    const models = inputs.filter(({ role }) => role === 'model').map(({ name }) => name);
    const map = region(page, 'Trimmed share');
    await map.locator('canvas').hover({ position: { x: 3, y: 3 } });
    const first = tensors.find(({ name }) => name === 'encoder.blocks.0.fc1.bias')!;
    const told = `${first.name} · ${models[0]}: ${(first.trimmed![0]! * 100).toFixed(1)} %`;
    expect(await map.locator('.heat-readout').textContent()).toBe(told);
    await page.mouse.move(0, 0);
    await map.locator('canvas').focus();
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('ArrowDown');
    const second = tensors.find(({ name }) => name === 'encoder.blocks.0.fc1.weight')!;
    expect(await map.locator('.heat-readout').textContent()).toBe(
      `${second.name} · ${models[1]}: ${(second.trimmed![1]! * 100).toFixed(1)} %`,
    );
  });

  it('shows a tuning while it runs, and then what it learned', async () => {
    tuned = await tune('learned', 120);
    await page.goto(`/#/merges/${tuned.id}`);
    await page
      .getByText(/step \d+ of 120/)
      .first()
      .waitFor();
    const loss = region(page, 'Loss');
    await loss.locator('path').first().waitFor();
    await page.locator('.title').getByText('running').waitFor({ timeout: 1000 });
    expect(await region(page, 'Entropy by task').locator('path:not(.raw)').count()).toBe(TASKS.length);
    await picture(page, 'tuning');

    await page.locator('.title').getByText('succeeded').waitFor({ timeout: 120_000 });
    await region(page, 'Coefficients').locator('canvas').waitFor();
    const report = await client.merges.report(tuned.id);
    const points = (await loss.locator('path.raw').getAttribute('d'))!.split('L').length;
    expect(points).toBe(report.loss!.length);
    expect(await loss.getByRole('img').getAttribute('aria-label')).toMatch(/step 1 to 120: sum over tasks from/);
    await expect.poll(() => colorsOf(page, 'Coefficients')).toBeGreaterThan(50);
    const stages = await page.locator('.stage-name').allTextContents();
    expect(stages).toEqual(['waiting', 'planning', 'tuning', 'merging', 'evaluating', 'publishing']);
  });

  it('cancels a merge and tries it again', async () => {
    const { id } = await tune('endless', ENDLESS);
    await page.goto(`/#/merges/${id}`);
    await page
      .getByText(/step \d+ of/)
      .first()
      .waitFor();
    for (let round = 0; round < 2; round++) {
      await page.getByRole('button', { name: 'Cancel' }).click();
      await page.locator('.title').getByText('canceled').waitFor();
      expect((await client.merges.get(id)).state).toBe('canceled');
      if (round === 1) break;
      await page.getByRole('button', { name: 'Retry' }).click();
      await page.locator('.title').getByText('running').waitFor();
    }
    expect(await region(page, 'Attempts').first().getByRole('row').count()).toBe(3);
  });

  it('shows why a merge failed', async () => {
    // Found by no check of headers: the graph belongs to another model.
    const [task, other] = recipe.tasks!;
    const { id } = await submit('mismatched', { tasks: [{ ...task!, model: other!.model }] });
    await page.goto(`/#/merges/${id}`);
    await page.locator('.title').getByText('failed').waitFor();
    const { error } = await client.merges.get(id);
    expect(error?.code).toBe('unbound_graph');
    expect(await page.locator('.note.bad').textContent()).toBe(`${error?.code} ${error?.detail}`);
    await page.goto('/#/');
    await region(page, 'Recent failures').getByRole('link', { name: 'mismatched' }).waitFor();
  });

  it('draws 200 tensors × 20 models in less than 100 ms', async () => {
    const report = await client.merges.report(tuned.id);
    const tensors = Array.from({ length: 200 }, (_, i) => `encoder.blocks.${Math.floor(i / 8)}.weight${i % 8}`);
    const models = Array.from({ length: 20 }, (_, i) => `model-${i}`);
    const values = tensors.map((_, i) => models.map((_, k) => Math.sin(i * 0.1 + k)));
    const large: Report = { ...report, coefficients: { tensors, models, values, clamp: null } };
    const second = await context.newPage();
    await second.route('**/report', (route) => route.fulfill({ json: large }));
    await second.goto(`/#/merges/${tuned.id}`);
    await region(second, 'Coefficients').locator('canvas').waitFor();
    await expect.poll(() => colorsOf(second, 'Coefficients')).toBeGreaterThan(100);
    const took = (await second.evaluate(
      "performance.getEntriesByName('heat-map').map((entry) => entry.duration)",
    )) as number[];
    expect(Math.min(...took)).toBeLessThan(100);
    await second.close();
  });

  it.each(SCREENS)('has no barriers and fits the screen: $name', async (screen) => {
    const made = await open(screen);
    await made.page.goto('/');
    await made.page.getByLabel('API key').waitFor();
    expect(await findBarriers(made.page)).toEqual([]);
    await signIn(made.page);
    const places: [string, string, string][] = [
      ['overview', '', 'Overview'],
      ['merges', 'merges', 'Merges'],
      ['ties', `merges/${ties.id}`, 'ties of three'],
      ['learned', `merges/${tuned.id}`, 'learned'],
      ['methods', 'methods', 'Methods'],
      ['method', 'methods/adamerging', 'adamerging'],
    ];
    for (const [name, path, heading] of places) {
      await made.page.goto(`/#/${path}`);
      await made.page.getByRole('heading', { name: heading, exact: true, level: 1 }).waitFor();
      if (path.startsWith('merges/')) await region(made.page, 'Events').getByText('merge.succeeded').waitFor();
      if (path === '') await region(made.page, 'Recent failures').getByText('mismatched').waitFor();
      await picture(made.page, `${name}-${screen.name}`);
      expect({ name, barriers: await findBarriers(made.page) }).toEqual({ name, barriers: [] });
      const width = await made.page.evaluate('document.documentElement.scrollWidth');
      expect({ name, width }).toEqual({ name, width: screen.viewport.width });
    }
    await made.context.close();
  });

  it('lets nobody in any more after signing out', async () => {
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByLabel('API key').waitFor();
    expect(await context.cookies(`${service.url}/v1`)).toEqual([]);
  });

  it('asked nothing of other hosts, and broke no rule of its own policy', () => expect(complaints).toEqual([]));
});
