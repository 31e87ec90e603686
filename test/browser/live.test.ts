import { type Client, createClient } from '@amalgam/client';
import type { Merge, Recipe } from '@amalgam/contracts';
import type { Browser, Page, Request } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startReceiver } from '../../apps/worker/test/receiver.js';
import { findBrowser, launchBrowser, NO_BROWSER } from '../support/browser.js';
import { faultsOf, medianFrame, openDashboard, picture, region, SCREENS, type Window } from '../support/dashboard.js';
import { startTestService, type TestService } from '../support/service.js';
import { uploadZoo } from '../support/zoo-service.js';

// Pages that follow the project's stream of events, in a real browser over the real service.
const executable = findBrowser();
const NAME = 'live pages in Chromium';

describe.skipIf(executable === null)(executable === null ? `${NAME}: SKIPPED, ${NO_BROWSER}` : NAME, () => {
  let service: TestService;
  let client: Client;
  let browser: Browser;
  let first: Window;
  let second: Window;
  let zoo: Recipe;

  const submit = (name: string, changes: Partial<Recipe> = {}) =>
    client.merges.create({ name, recipe: { ...zoo, ...changes } });
  const isLive = (page: Page) => page.getByRole('status').getByText('Live', { exact: true }).waitFor();
  const row = (page: Page, name: string) => page.getByRole('row', { name });
  const endless = { method: 'adamerging', parameters: { granularity: 'layer', steps: 100_000 } };

  beforeAll(async () => {
    service = await startTestService({ AMALGAM_DEVICE: 'cpu', AMALGAM_TUNING_THREADS: '1' });
    // Patient enough for an api that is being started again.
    client = createClient({ baseUrl: service.url, apiKey: service.apiKey, retries: 10 });
    zoo = await uploadZoo(client, ['digits', 'shapes'], { method: 'ties', parameters: { lambda: 0.5 } });
    await client.merges.waitFor((await submit('the first')).id);
    browser = await launchBrowser(executable ?? '');
    first = await openDashboard(browser, service);
    second = await openDashboard(browser, service);
  }, 180_000);

  afterAll(async () => {
    await browser?.close();
    await service?.stop();
  });

  it('show a merge that was started elsewhere, and its end, in every tab without being loaded again', async () => {
    for (const { page } of [first, second]) {
      await page.goto('/#/merges');
      await row(page, 'the first').waitFor();
      await isLive(page);
    }
    const made = await submit('from elsewhere');
    for (const { page } of [first, second]) {
      await row(page, 'from elsewhere').waitFor();
      await row(page, 'from elsewhere').getByText('succeeded').waitFor();
    }
    const [succeeded] = await eventsOf(made);
    expect(succeeded).toBe('merge.queued');
  });

  it('ask for nothing while nothing happens, over one stream for all pages', async () => {
    const { page } = first;
    const asked: string[] = [];
    const note = (request: Request) => asked.push(new URL(request.url()).pathname);
    await page.reload();
    page.on('request', note);
    await row(page, 'from elsewhere').waitFor();
    await page.waitForTimeout(2_000);
    asked.length = 0;
    // Longer than what would be asked every few seconds.
    await page.waitForTimeout(6_000);
    expect(asked).toEqual([]);
    await page.goto('/#/');
    await region(page, 'Queue').waitFor();
    await page.goto('/#/webhooks');
    await page.getByRole('heading', { name: 'Webhooks' }).waitFor();
    expect(asked.filter((path) => path === '/v1/events')).toEqual([]);
    page.off('request', note);
  });

  it('show how far a merge is from its events alone', async () => {
    const { page } = first;
    const { id } = await submit('endless', endless);
    await page.goto('/#/merges');
    const bar = row(page, 'endless').getByRole('progressbar');
    await bar.waitFor();
    await page.waitForTimeout(1_500);
    const asked: string[] = [];
    const note = (request: Request) => asked.push(request.url());
    page.on('request', note);
    const before = Number(await bar.getAttribute('value'));
    await expect.poll(async () => Number(await bar.getAttribute('value')), { timeout: 10_000 }).toBeGreaterThan(before);
    expect(asked).toEqual([]);
    page.off('request', note);

    await page.goto('/#/');
    const line = region(page, 'Under way').getByRole('listitem').filter({ hasText: 'endless' });
    await line.getByRole('progressbar').waitFor();
    const counts = region(page, 'Merges').first().locator('.counts');
    expect(await counts.innerText()).toMatch(/running\s+1/);
    await client.merges.cancel(id);
    await line.waitFor({ state: 'detached' });
    await expect.poll(() => counts.innerText()).toMatch(/running\s+0\s[\s\S]*canceled\s+1/);
  });

  it('show what becomes of deliveries', async () => {
    const { page } = first;
    const receiver = await startReceiver(() => ({ status: 200 }));
    const { id } = await client.webhookEndpoints.create({ url: receiver.url, events: ['merge.succeeded'] });
    await page.goto(`/#/webhooks/${id}`);
    await page.getByText('Nothing was sent yet.').waitFor();
    await isLive(page);
    await submit('to be told of');
    const delivery = row(page, 'merge.succeeded');
    await delivery.locator('.badge', { hasText: 'succeeded' }).waitFor();
    expect(await delivery.locator('.answer').textContent()).toBe('200');
    await client.webhookEndpoints.delete(id);
    await receiver.close();
  });

  it('show the webhook that a merge brought along, why it was disabled, and enable it by sending again', async () => {
    const { page } = first;
    let status = 410;
    const receiver = await startReceiver(() => ({ status }));
    const recipe = { ...zoo, method: 'linear', parameters: {} };
    const webhook = { url: `${receiver.url}?${'long'.repeat(40)}`, events: ['merge.succeeded' as const] };
    const { id } = await client.merges.create({ name: 'brings a webhook', recipe, webhook });
    await page.goto(`/#/merges/${id}`);
    const section = region(page, 'Webhook of this merge').first();
    await section.getByText('It answered 410 Gone', { exact: false }).waitFor();
    await section.locator('.badge', { hasText: 'failed' }).waitFor();
    expect((await client.merges.get(id)).webhook?.disabled?.reason).toBe('gone');
    await section.getByRole('button', { name: 'merge.succeeded' }).click();
    const delivery = region(page, 'Delivery').first();
    await delivery.getByText('Try 1:').waitFor();
    await picture(page, 'own-webhook');
    expect(await faultsOf(page)).toEqual([]);
    const desk = page.viewportSize()!;
    await page.setViewportSize(SCREENS[2].viewport);
    expect(await faultsOf(page)).toEqual([]);
    await page.setViewportSize(desk);
    status = 204;
    await delivery.getByRole('button', { name: 'Resend' }).click();
    await delivery.getByText('Try 2:').waitFor();
    await section.getByText('It answered 410 Gone', { exact: false }).waitFor({ state: 'detached' });
    await section.locator('.badge', { hasText: 'succeeded' }).waitFor();
    expect((await client.merges.get(id)).webhook).not.toHaveProperty('disabled');
    await section.getByRole('button', { name: 'merge.succeeded', expanded: true }).click();
    await delivery.waitFor({ state: 'detached' });
    await receiver.close();
  });

  it('say when the stream is lost, come back by themselves, and have missed nothing', async () => {
    // By its own tab: what a browser complains of is part of this.
    const { page, context } = await openDashboard(browser, service);
    await page.goto('/#/merges');
    await row(page, 'the first').waitFor();
    await isLive(page);
    const pid = service.api();
    process.kill(pid!, 'SIGKILL');
    await page.getByRole('status').getByText('Reconnecting…').waitFor();
    await picture(page, 'reconnecting');
    expect(await faultsOf(page)).toEqual([]);
    await expect.poll(() => service.api(), { timeout: 20_000 }).not.toBe(pid);
    const made = await submit('after the fall');
    await row(page, 'after the fall').waitFor();
    await isLive(page);
    await row(page, 'after the fall').getByText('succeeded').waitFor();
    await page.getByRole('alert').waitFor({ state: 'detached' });
    expect((await client.merges.get(made.id)).state).toBe('succeeded');
    for (const window of [first, second]) await isLive(window.page);
    await context.close();
  });

  it('stay smooth with 10 000 merges of which hundreds are told of every moment', async () => {
    const count = 10_000;
    const [merge] = (await client.merges.page({ limit: 1 })).data;
    const all = Array.from({ length: count }, (_, i): Merge => {
      const id = `mrg_01K${String(count - i).padStart(23, '0')}`;
      const progress = { stage: 'merging' as const, bytes_done: 1, bytes_total: 100 };
      return { ...merge!, id, name: `merge ${count - i}`, state: 'running', progress };
    });
    const page = await first.context.newPage();
    await page.route(/\/v1\/merges\?/, (route) => {
      const query = new URL(route.request().url()).searchParams;
      const from = query.has('after') ? all.findIndex(({ id }) => id === query.get('after')) + 1 : 0;
      const data = all.slice(from, from + 1000);
      const more = from + 1000 < count;
      return route.fulfill({ json: { data, has_more: more, next_cursor: more ? data.at(-1)!.id : null } });
    });
    await page.route(/\/v1\/merges\/mrg_/, (route) => route.fulfill({ json: all[0] }));
    let told = 0;
    // An answer that ends is a stream that is lost: it is opened again at once, and tells of other merges.
    await page.route(/\/v1\/events/, (route) => {
      told++;
      const frames = Array.from({ length: 500 }, (_, i) => {
        const data = { attempt: 1, stage: 'merging', bytes_done: told % 100, bytes_total: 100 };
        const event = { object: 'event', type: 'merge.progress', merge_id: all[i * 20]!.id, data };
        return `id: ${told * 500 + i}\nevent: merge.progress\ndata: ${JSON.stringify(event)}\n\n`;
      });
      return route.fulfill({ contentType: 'text/event-stream', body: frames.join('') });
    });
    await page.goto('/#/merges');
    await row(page, 'merge 10000').waitFor();
    await expect
      .poll(
        async () => {
          await page.evaluate('scrollTo(0, document.documentElement.scrollHeight)');
          return await page.locator('table.merges').getAttribute('aria-rowcount');
        },
        { timeout: 60_000, interval: 20 },
      )
      .toBe(String(count + 1));
    const before = told;
    const frame = await medianFrame(page);
    expect(told).toBeGreaterThan(before);
    expect(frame).toBeLessThan(50);
    await page.close();
  });

  it.each(SCREENS)('have no barriers and fit the screen: $name', async (screen) => {
    const { page, context } = await openDashboard(browser, service, screen);
    await isLive(page);
    await region(page, 'Queue').waitFor();
    await picture(page, `live-overview-${screen.name}`);
    expect(await faultsOf(page)).toEqual([]);
    await page.goto('/#/merges');
    await row(page, 'the first').waitFor();
    await picture(page, `live-merges-${screen.name}`);
    expect(await faultsOf(page)).toEqual([]);
    await context.close();
  });

  it('broke no rule of the page’s policy', () => {
    const known = /ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED_ENCODING|ERR_CONNECTION_RESET/;
    expect([...first.complaints, ...second.complaints].filter((text) => !known.test(text))).toEqual([]);
  });

  const eventsOf = async ({ id }: Merge) => {
    const types: string[] = [];
    for await (const { type } of client.pastEvents({ merge: id })) types.push(type);
    return types;
  };
});
