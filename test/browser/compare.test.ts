import { type Client, createClient } from '@amalgam/client';
import type { Merge, Recipe } from '@amalgam/contracts';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findBrowser, launchBrowser, NO_BROWSER } from '../support/browser.js';
import { faultsOf, openDashboard, picture, region, SCREENS } from '../support/dashboard.js';
import { startTestService, type TestService } from '../support/service.js';
import { uploadZoo } from '../support/zoo-service.js';

// Merges side by side in a real browser, over the real service.
const executable = findBrowser();
const NAME = 'comparing merges in Chromium';

describe.skipIf(executable === null)(executable === null ? `${NAME}: SKIPPED, ${NO_BROWSER}` : NAME, () => {
  let service: TestService;
  let client: Client;
  let browser: Browser;
  let page: Page;
  let complaints: string[];
  let zoo: Recipe;
  const made: Record<string, Merge> = {};

  const address = () =>
    `/#/compare?ids=${Object.values(made)
      .map(({ id }) => id)
      .join(',')}`;
  const cells = (title: string, row: string | RegExp) =>
    region(page, title).first().getByRole('row', { name: row }).getByRole('cell').allTextContents();

  beforeAll(async () => {
    service = await startTestService({ AMALGAM_DEVICE: 'cpu', AMALGAM_TUNING_THREADS: '1' });
    client = createClient({ baseUrl: service.url, apiKey: service.apiKey });
    zoo = await uploadZoo(client, ['digits', 'shapes'], { method: 'ties', parameters: { lambda: 0.5 } });
    const learn = { granularity: 'layer', init: 0.3, learning_rate: 0.01 };
    const recipes: Record<string, Partial<Recipe>> = {
      trimmed: {},
      short: { method: 'adamerging', parameters: { ...learn, steps: 5 } },
      long: { method: 'adamerging', parameters: { ...learn, steps: 15 } },
    };
    for (const [name, changes] of Object.entries(recipes)) {
      const { id } = await client.merges.create({ name, recipe: { ...zoo, ...changes } });
      made[name] = await client.merges.waitFor(id);
      expect(made[name].state).toBe('succeeded');
    }
    browser = await launchBrowser(executable ?? '');
    ({ page, complaints } = await openDashboard(browser, service));
  }, 240_000);

  afterAll(async () => {
    await browser?.close();
    await service?.stop();
  });

  it('begins with what is chosen in the list', async () => {
    await page.goto('/#/compare');
    await page.getByText('Choose two or more merges').waitFor();
    await page.goto('/#/merges');
    for (const name of ['short', 'long']) await page.getByLabel(`Choose ${name}`).check();
    await page.getByRole('link', { name: 'Compare 2' }).click();
    await page.getByRole('heading', { name: '2 merges' }).waitFor();
    const heads = await region(page, '2 merges').first().getByRole('columnheader').allTextContents();
    expect(heads.toSorted()).toEqual(['long', 'short']);
  });

  it('shows only where the recipes differ, and on request the rest', async () => {
    await page.goto(`/#/compare?ids=${made['short']!.id},${made['long']!.id}`);
    const recipes = region(page, 'Recipes').first();
    await recipes.getByRole('row', { name: /parameters\.steps/ }).waitFor();
    expect(await cells('Recipes', /parameters\.steps/)).toEqual(['5', '15']);
    expect(await recipes.getByRole('rowheader').allTextContents()).toEqual(['parameters.steps']);
    await recipes.getByLabel(/what is the same/).check();
    expect(await cells('Recipes', /^method/)).toEqual(['adamerging', 'adamerging']);
    // Checkpoints by their names.
    await expect.poll(() => cells('Recipes', /models\.1\.model/)).toEqual(['shapes', 'shapes']);
  });

  it('has accuracies and learned coefficients beside each other', async () => {
    await page.goto(address());
    await page.getByRole('heading', { name: '3 merges' }).waitFor();
    const reports = await Promise.all(Object.values(made).map(({ id }) => client.merges.report(id)));
    const shares = reports.map(({ tasks }) => `${(tasks![0]!.accuracy! * 100).toFixed(1)} %`);
    const shown = await cells('Accuracies', /^digits/);
    expect(shown.map((text) => text.replace('best', ''))).toEqual(shares);
    const best = Math.max(...reports.map(({ tasks }) => tasks![0]!.accuracy!));
    expect(shown.filter((text) => text.endsWith('best')).length).toBe(
      reports.filter(({ tasks }) => tasks![0]!.accuracy === best).length,
    );
    const means = await cells('Coefficients', /^digits/);
    expect(means[0]).toBe('–');
    const learned = reports[2]!.coefficients!;
    const mean = learned.values.reduce((sum, row) => sum + row[0]!, 0) / learned.values.length;
    expect(Number(means[2])).toBeCloseTo(mean, 3);
    const rows = await region(page, 'Coefficients').first().locator('.heat-names li').allTextContents();
    expect(rows).toEqual(['digits, short', 'digits, long', 'shapes, short', 'shapes, long']);
  });

  it('takes one out', async () => {
    await region(page, '3 merges').first().getByRole('link', { name: 'take out' }).first().click();
    await page.getByRole('heading', { name: '2 merges' }).waitFor();
    expect(page.url()).not.toContain(made['trimmed']!.id);
  });

  it('says so when its script cannot be had, and leaves the rest as it was', async () => {
    const window = await openDashboard(browser, service);
    await window.page.route(/compare.*\.js$/, (route) => route.abort());
    await window.page.goto(address());
    await window.page.getByText('This page could not be shown.').waitFor();
    await window.page.getByRole('link', { name: 'Methods' }).click();
    await window.page.getByRole('heading', { name: 'Methods' }).waitFor();
    await window.context.close();
  });

  it.each(SCREENS)('has no barriers and fits the screen: $name', async (screen) => {
    const window = await openDashboard(browser, service, screen);
    await window.page.goto(address());
    await region(window.page, 'Coefficients').first().locator('canvas').waitFor();
    await picture(window.page, `compare-${screen.name}`);
    expect(await faultsOf(window.page)).toEqual([]);
    await window.context.close();
  });

  it('asked nothing of other hosts, and broke no rule of its own policy', () => expect(complaints).toEqual([]));
});
