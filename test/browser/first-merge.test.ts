import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Client, createClient } from '@amalgam/client';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findBrowser, launchBrowser, NO_BROWSER } from '../support/browser.js';
import { faultsOf, openDashboard, picture, region, SCREENS } from '../support/dashboard.js';
import { startTestService, type TestService } from '../support/service.js';
import { ZOO } from '../support/zoo-service.js';

// The way of README.md's "Your first merge", by somebody who has only the page: no step of it is made by the API.
const executable = findBrowser();
const NAME = 'a first merge in Chromium';
const FILES = ['base', 'digits', 'shapes'];

describe.skipIf(executable === null)(executable === null ? `${NAME}: SKIPPED, ${NO_BROWSER}` : NAME, () => {
  let service: TestService;
  let client: Client;
  let browser: Browser;
  let page: Page;
  let complaints: string[];
  let folder: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'amalgam-first-'));
    service = await startTestService({ AMALGAM_DEVICE: 'cpu' });
    client = createClient({ baseUrl: service.url, apiKey: service.apiKey });
    browser = await launchBrowser(executable ?? '');
    ({ page, complaints } = await openDashboard(browser, service));
  }, 180_000);

  afterAll(async () => {
    await browser?.close();
    await service?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  it('drops a base and two models on the page of checkpoints', async () => {
    await page.getByRole('navigation').getByRole('link', { name: 'Checkpoints' }).click();
    await page.getByText('No checkpoints yet').waitFor();
    await picture(page, 'first-1-nothing-yet');
    const box = (await page.locator('.drop').boundingBox())!;
    const debug = await page.context().newCDPSession(page);
    const data = { items: [], files: FILES.map((name) => join(ZOO, `${name}.safetensors`)), dragOperationsMask: 1 };
    for (const type of ['dragEnter', 'dragOver', 'drop'] as const) {
      await debug.send('Input.dispatchDragEvent', { type, x: box.x + 20, y: box.y + 20, data });
    }
    await page.getByRole('button', { name: 'Upload all 3' }).click();
    await page.getByRole('link', { name: 'Merge these 3…' }).waitFor();
    await picture(page, 'first-2-uploaded');
  });

  it('is led to the form, which knows the base by its name, and merges', async () => {
    await page.getByRole('link', { name: 'Merge these 3…' }).click();
    await expect.poll(() => page.getByLabel('Base', { exact: true }).inputValue()).toBe('base');
    await region(page, 'Plan').getByText('This can be merged.').waitFor();
    await picture(page, 'first-3-form');
    await page.getByRole('button', { name: 'Merge', exact: true }).click();
    // Nobody gave it a name.
    await page.getByRole('heading', { name: 'ties of digits, shapes' }).waitFor();
  });

  it('watches it to its end without touching the page, and downloads the result', async () => {
    await page.getByText('succeeded').first().waitFor();
    await picture(page, 'first-4-merged');
    const link = region(page, 'Stages').getByRole('link', { name: 'model.safetensors', exact: true });
    const [download] = await Promise.all([page.waitForEvent('download'), link.click()]);
    expect(download.suggestedFilename()).toBe('model.safetensors');
    const path = join(folder, 'merged.safetensors');
    await download.saveAs(path);
    const { data } = await client.merges.page({ name: 'ties of digits, shapes' });
    expect((await readFile(path)).equals(await client.merges.download(data[0]!.id, 'model.safetensors'))).toBe(true);
  });

  it.each(SCREENS)('is usable by everybody on the way: $name', async (screen) => {
    const seen = await openDashboard(browser, service, screen);
    for (const place of ['checkpoints', 'new', 'merges']) {
      await seen.page.goto(`/#/${place}`);
      await seen.page.getByRole('heading', { level: 1 }).waitFor();
      // The network is never idle: events may come at any time.
      await seen.page.getByText('Loading…').waitFor({ state: 'detached' });
      if (place === 'checkpoints') await seen.page.getByText('Or register one').click();
      expect(await faultsOf(seen.page)).toEqual([]);
      await picture(seen.page, `first-${place}-${screen.name}`);
    }
    await seen.context.close();
  });

  it('had nothing to complain of', () => {
    expect(complaints).toEqual([]);
  });
});
