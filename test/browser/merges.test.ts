import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { type Client, createClient } from '@amalgam/client';
import type { Merge, Recipe } from '@amalgam/contracts';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findBrowser, launchBrowser, NO_BROWSER } from '../support/browser.js';
import { faultsOf, medianFrame, openDashboard, picture, region, SCREENS } from '../support/dashboard.js';
import { startTestService, type TestService } from '../support/service.js';
import { ROOT } from '../support/workspace.js';
import { uploadZoo } from '../support/zoo-service.js';

// The list of merges, and what a merge's page tells of its relatives, in a real browser over the real service.
const executable = findBrowser();
const NAME = 'merges in Chromium';
const ENDLESS = 100_000;
const run = promisify(execFile);

describe.skipIf(executable === null)(executable === null ? `${NAME}: SKIPPED, ${NO_BROWSER}` : NAME, () => {
  let service: TestService;
  let client: Client;
  let browser: Browser;
  let page: Page;
  let complaints: string[];
  let zoo: Recipe;
  let ties: Merge;
  let user: Merge;

  const submit = (name: string, changes: Partial<Recipe>, metadata: Record<string, string> = {}) =>
    client.merges.create({ name, recipe: { ...zoo, ...changes }, metadata });
  const finish = async (made: Promise<Merge>) => client.merges.waitFor((await made).id);
  const names = () => page.locator('table.merges tbody th[scope="row"] a').allTextContents();
  const bar = () => page.getByRole('region', { name: 'Chosen merges' });
  /** What the tests that make merges need told apart from the others. */
  const latest = async (name: string) => (await client.merges.page({ name })).data;

  beforeAll(async () => {
    service = await startTestService({ AMALGAM_DEVICE: 'cpu', AMALGAM_TUNING_THREADS: '1' });
    client = createClient({ baseUrl: service.url, apiKey: service.apiKey });
    zoo = await uploadZoo(client, ['digits', 'shapes'], { method: 'ties', parameters: { lambda: 0.5 } });
    ties = await finish(submit('ties of two', {}, { team: 'vision' }));
    await finish(submit('plain mean', { method: 'linear', parameters: {} }));
    const { base: _, tasks: __, ...rest } = zoo;
    const models = [{ model: ties.result!.checkpoint_id }, ...zoo.models];
    user = await finish(
      client.merges.create({ name: 'second round', recipe: { ...rest, method: 'linear', parameters: {}, models } }),
    );
    browser = await launchBrowser(executable ?? '');
    ({ page, complaints } = await openDashboard(browser, service));
  }, 180_000);

  afterAll(async () => {
    await browser?.close();
    await service?.stop();
  });

  describe('the list', () => {
    it('is narrowed by name, metadata and time, and its address keeps that', async () => {
      await page.goto('/#/merges');
      await page.getByRole('link', { name: 'ties of two' }).waitFor();
      await page.getByLabel('Name').fill('MEAN');
      await expect.poll(names).toEqual(['plain mean']);
      await page.getByLabel('Name').fill('');
      await expect.poll(async () => (await names()).length).toBe(3);
      await page.getByLabel('Metadata').fill('team=vision');
      await expect.poll(names).toEqual(['ties of two']);
      await page.reload();
      await expect.poll(names).toEqual(['ties of two']);
      expect(await page.getByLabel('Metadata').inputValue()).toBe('team=vision');
      await page.getByLabel('To').fill('2020-01-01T00:00');
      await page.getByText('No merge is like that.').waitFor();
      await page.getByRole('button', { name: 'Clear' }).click();
      await expect.poll(async () => (await names()).length).toBe(3);
    });

    it('says of metadata that is none', async () => {
      await page.getByLabel('Metadata').fill('team');
      expect(await page.getByLabel('Metadata').getAttribute('aria-invalid')).toBe('true');
      expect(await names()).toHaveLength(3);
      await page.getByLabel('Metadata').fill('');
    });

    it('cancels and retries many at once', async () => {
      const parameters = { granularity: 'layer', steps: ENDLESS };
      for (const name of ['endless 1', 'endless 2', 'endless 3'])
        await submit(name, { method: 'adamerging', parameters });
      await page.goto('/#/merges?name=endless');
      await expect.poll(async () => (await names()).length).toBe(3);
      await page.getByLabel('Choose all').check();
      expect(await bar().textContent()).toContain('3 merges chosen');
      expect(await bar().getByRole('button', { name: 'Retry 0' }).isDisabled()).toBe(true);
      await picture(page, 'bulk');
      await bar().getByRole('button', { name: 'Cancel 3' }).click();
      await bar().getByRole('button', { name: 'Retry 3' }).waitFor();
      expect((await latest('endless')).map(({ state }) => state)).toEqual(['canceled', 'canceled', 'canceled']);
      await page.getByLabel('Choose endless 3').uncheck();
      await bar().getByRole('button', { name: 'Retry 2' }).click();
      await bar().getByRole('button', { name: 'Cancel 2' }).waitFor();
      await bar().getByRole('button', { name: 'Cancel 2' }).click();
      await bar().getByRole('button', { name: 'Retry 2' }).waitFor();
      await bar().getByRole('button', { name: 'Choose none' }).click();
      expect(await bar().count()).toBe(0);
    });

    it('shows new merges and what becomes of them by itself', async () => {
      await page.goto('/#/merges');
      await page.getByRole('link', { name: 'ties of two' }).waitFor();
      await submit('comes by itself', {});
      const row = page.getByRole('row', { name: /comes by itself/ });
      await row.getByText('succeeded').waitFor();
    });

    // A hundred answers of a hundred merges, each through the test's process.
    it('holds 10 000 merges, of which only those in view are in the page', { timeout: 240_000 }, async () => {
      const count = 10_000;
      const all = Array.from({ length: count }, (_, i): Merge => {
        const id = `mrg_01K${String(count - i).padStart(23, '0')}`;
        return { ...ties, id, name: `merge ${count - i}` };
      });
      const second = await page.context().newPage();
      await second.route(/\/v1\/merges\?/, (route) => {
        const query = new URL(route.request().url()).searchParams;
        const from = query.has('after') ? all.findIndex(({ id }) => id === query.get('after')) + 1 : 0;
        const data = all.slice(from, from + 100);
        const more = from + 100 < count;
        return route.fulfill({ json: { data, has_more: more, next_cursor: more ? data.at(-1)!.id : null } });
      });
      await second.goto('/#/merges');
      await second.getByRole('link', { name: 'merge 10000' }).waitFor();
      await expect
        .poll(
          async () => {
            await second.evaluate('scrollTo(0, document.documentElement.scrollHeight)');
            return await second.getByRole('link', { name: 'merge 1', exact: true }).count();
          },
          { timeout: 200_000, interval: 20 },
        )
        .toBe(1);
      expect(await second.locator('table.merges').getAttribute('aria-rowcount')).toBe(String(count + 1));
      expect(await second.locator('table.merges tr').count()).toBeLessThan(100);
      // From the end to the beginning, 600 pixels a frame: how long do frames take?
      const frame = await medianFrame(second);
      expect(frame).toBeLessThan(50);
      await second.close();
    });
  });

  describe('a merge', () => {
    it('is shown beside other merges of the same models', async () => {
      await page.goto(`/#/merges/${ties.id}`);
      const others = region(page, 'Other merges of the same models').first();
      const row = others.getByRole('row', { name: /plain mean/ });
      await row.waitFor();
      const [mean] = await latest('plain mean');
      const report = await client.merges.report(mean!.id);
      expect(await row.locator('.bar-value').allTextContents()).toEqual(
        report.tasks!.map(({ accuracy }) => `${(accuracy! * 100).toFixed(1)} %`),
      );
      // Of other models: no relative.
      expect(await others.getByText('second round').count()).toBe(0);
    });

    it('tells trimmed share and sign conflicts by layer', async () => {
      const { tensors } = await client.merges.report(ties.id);
      const row = region(page, 'By layer')
        .first()
        .getByRole('row', { name: /encoder\.blocks\.0/ });
      const inside = tensors.filter(({ name }) => name.startsWith('encoder.blocks.0.'));
      const elements = inside.reduce((sum, tensor) => sum + tensor.elements, 0);
      const conflicts = inside.reduce((sum, tensor) => sum + tensor.sign_conflicts! * tensor.elements, 0) / elements;
      expect(await row.locator('.bar-value').nth(1).textContent()).toBe(`${(conflicts * 100).toFixed(1)} %`);
    });

    it('leads from its inputs to its result and to what uses it', async () => {
      const lineage = region(page, 'Lineage').first();
      expect(await lineage.locator('li').allTextContents()).toEqual([
        'basebase',
        'modeldigits',
        'modelshapes',
        'tiesties of two',
        `result${(await client.checkpoints.get(ties.result!.checkpoint_id)).name}`,
        'used by, succeededsecond round',
      ]);
      await lineage.getByRole('link', { name: 'second round' }).click();
      await page.getByRole('heading', { name: 'second round' }).waitFor();
      const made = region(page, 'Lineage').first().getByRole('listitem').filter({ hasText: 'of a merge' });
      await made.getByRole('link').click();
      await page.getByRole('heading', { name: 'ties of two' }).waitFor();
    });

    it('is made again by what its page says: with curl, Python and TypeScript', async () => {
      await page.goto(`/#/merges/${user.id}`);
      const section = region(page, 'The same again').first();
      const program = async (tool: string) => {
        await section.getByRole('tab', { name: tool }).click();
        return (await section.locator('pre').textContent())!;
      };
      const env = { ...process.env, AMALGAM_API_KEY: service.apiKey };
      const before = (await latest('second round')).length;
      const programs = {
        curl: await program('curl'),
        python: await program('Python'),
        node: await program('TypeScript'),
      };
      for (const text of Object.values(programs)) expect(text).not.toContain(service.apiKey.slice(4));

      const { stdout } = await run('bash', ['-c', programs.curl], { env });
      const made = JSON.parse(stdout) as Merge;
      expect(made).toMatchObject({ name: 'second round', recipe: user.recipe });
      expect((await client.merges.waitFor(made.id)).state).toBe('succeeded');

      const python = await run('python3', ['-c', programs.python], { env });
      expect(python.stdout).toMatch(/^mrg_\w+ succeeded\n$/);
      // The program has no types to strip: what it says in TypeScript is JavaScript, too.
      const node = await run(process.execPath, ['--input-type=module', '-e', programs.node], { env, cwd: ROOT });
      expect(node.stdout).toMatch(/^mrg_\w+ succeeded\n$/);
      const all = await latest('second round');
      expect(all).toHaveLength(before + 3);
      expect(new Set(all.map(({ recipe }) => JSON.stringify(recipe))).size).toBe(1);
    });
  });

  it.each(SCREENS)('has no barriers and fits the screen: $name', async (screen) => {
    const window = await openDashboard(browser, service, screen);
    await window.page.goto('/#/merges');
    await window.page.getByLabel('Choose ties of two').check();
    await picture(window.page, `merges-${screen.name}`);
    expect(await faultsOf(window.page)).toEqual([]);
    await window.page.goto(`/#/merges/${ties.id}`);
    await region(window.page, 'Other merges of the same models').first().waitFor();
    await region(window.page, 'Lineage').first().waitFor();
    await picture(window.page, `merge-${screen.name}`);
    expect(await faultsOf(window.page)).toEqual([]);
    await window.context.close();
  });

  it('asked nothing of other hosts, and broke no rule of its own policy', () => expect(complaints).toEqual([]));
});
