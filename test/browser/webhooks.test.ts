import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type Client, createClient } from '@amalgam/client';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { Webhook } from 'standardwebhooks';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Receiver, startReceiver } from '../../apps/worker/test/receiver.js';
import { findBarriers, findBrowser, launchBrowser, NO_BROWSER } from '../support/browser.js';
import { SCREENS } from '../support/dashboard.js';
import { startTestService, type TestService } from '../support/service.js';

// The pages for webhooks and keys in a real browser, over the real service.
const executable = findBrowser();
const NAME = 'webhooks and keys in Chromium';

describe.skipIf(executable === null)(executable === null ? `${NAME}: SKIPPED, ${NO_BROWSER}` : NAME, () => {
  let service: TestService;
  let client: Client;
  let browser: Browser;
  let context: BrowserContext;
  let page: Page;
  let receiver: Receiver;
  /** Of the receiver's answers from now on. */
  let status = 500;
  let secret: string;
  const complaints: string[] = [];

  const open = async (screen: (typeof SCREENS)[number]) => {
    const { colorScheme, viewport } = screen;
    const made = await browser.newContext({ baseURL: service.url, colorScheme, viewport });
    made.setDefaultTimeout(30_000);
    const first = await made.newPage();
    first.on('pageerror', (error) => complaints.push(String(error)));
    first.on('request', (request) => {
      if (!request.url().startsWith(`${service.url}/`)) complaints.push(`asked for ${request.url()}`);
    });
    return { context: made, page: first };
  };
  const signIn = async (at: Page, key: string, path: string) => {
    await at.goto(`/#/${path}`);
    await at.getByLabel('API key').fill(key);
    await at.getByRole('button', { name: 'Sign in' }).click();
    await at.getByRole('button', { name: 'Sign out' }).waitFor();
  };
  const region = (title: string) => page.getByRole('region', { name: title, exact: true });
  const picture = async (at: Page, name: string) => {
    const folder = process.env['AMALGAM_SCREENSHOTS'];
    if (folder === undefined) return;
    await mkdir(folder, { recursive: true });
    await at.screenshot({ path: join(folder, `${name}.png`), fullPage: true });
  };

  beforeAll(async () => {
    service = await startTestService({ AMALGAM_DEVICE: 'cpu' });
    client = createClient({ baseUrl: service.url, apiKey: service.apiKey });
    receiver = await startReceiver(() => ({ status }));
    browser = await launchBrowser(executable ?? '');
    ({ context, page } = await open(SCREENS[0]));
    await signIn(page, service.apiKey, 'webhooks');
  }, 180_000);

  afterAll(async () => {
    await browser?.close();
    await receiver?.close();
    await service?.stop();
  });

  it('makes an endpoint, whose secret is shown once', async () => {
    await page.getByText('No endpoint yet.').waitFor();
    await page.getByRole('button', { name: 'New endpoint' }).click();
    await page.getByLabel('URL').fill('http://10.0.0.1/hook');
    await page.getByRole('button', { name: 'Create', exact: true }).click();
    expect(await page.getByRole('alert').textContent()).toContain('webhook_not_allowed');
    await page.getByLabel('URL').fill(receiver.url);
    await page.getByLabel('Description').fill('tells the release pipeline');
    await page.getByLabel('merge.started').uncheck();
    await page.getByRole('button', { name: 'Create', exact: true }).click();
    secret = (await region('New signing secret').locator('code').textContent()) ?? '';
    expect(secret).toMatch(/^whsec_/);
    const [endpoint] = await client.webhookEndpoints.list();
    expect(endpoint).toMatchObject({ url: receiver.url, description: 'tells the release pipeline', enabled: true });
    expect(endpoint?.events).not.toContain('merge.started');
    expect(endpoint?.events).toContain('merge.succeeded');
    await page.getByRole('button', { name: 'I have it' }).click();
    await page.reload();
    await page.getByRole('link', { name: receiver.url }).click();
    await page.getByText('Nothing was sent yet.').waitFor();
    expect(await page.content()).not.toContain(secret);
  });

  it('sends a test, shows request, response and time, and sends it again', async () => {
    await page.getByRole('button', { name: 'Send test' }).click();
    const delivery = region('Delivery');
    await delivery.getByText('Try 1:').waitFor();
    expect(await region('Request of try 1').textContent()).toContain(`POST ${receiver.url}`);
    expect(await region('Request of try 1').textContent()).toContain('webhook-signature: v1,');
    expect(await region('Response of try 1').textContent()).toContain('500');
    await delivery.getByText('HTTP 500').first().waitFor();
    await picture(page, 'webhook-failed');
    status = 200;
    await delivery.getByRole('button', { name: 'Resend' }).click();
    await delivery.getByText('Try 2:').waitFor();
    await delivery.locator('.line').getByText('succeeded').waitFor();
    const [first, second] = receiver.received;
    expect(second?.body).toBe(first?.body);
    const headers = second?.headers as Record<string, string>;
    expect(new Webhook(secret).verify(second?.body ?? '', headers)).toMatchObject({ type: 'webhook.test' });
    expect(headers['webhook-id']).toBe(first?.headers['webhook-id']);
  });

  it('rotates the secret: the old one signs on', async () => {
    await page.getByRole('button', { name: 'Rotate secret' }).click();
    const next = (await region('New signing secret').locator('code').textContent()) ?? '';
    expect(next).not.toBe(secret);
    await page.getByText('The old one signs beside it').waitFor();
    await page.getByRole('button', { name: 'Send test' }).click();
    await receiver.until(3);
    const { body, headers } = receiver.received[2]!;
    for (const one of [secret, next]) {
      expect(new Webhook(one).verify(body, headers as Record<string, string>)).toMatchObject({ type: 'webhook.test' });
    }
    await page.getByRole('button', { name: 'I have it' }).click();
  });

  it('disables, enables and changes an endpoint', async () => {
    await page.getByRole('button', { name: 'Disable' }).click();
    await page.getByText('It was disabled here or through the API.').waitFor();
    expect((await client.webhookEndpoints.list())[0]).toMatchObject({ enabled: false, disabled: { reason: 'user' } });
    await page.getByRole('button', { name: 'Enable' }).click();
    await page.locator('.title').getByText('enabled').waitFor();
    await page.getByRole('button', { name: 'Edit' }).click();
    await page.getByLabel('merge.started').check();
    await page.getByRole('button', { name: 'Save' }).click();
    await region('What it gets').getByText('merge.started').waitFor();
    expect((await client.webhookEndpoints.list())[0]?.events).toContain('merge.started');
  });

  it('filters deliveries, and keeps the filter in the address', async () => {
    await page.getByRole('link', { name: 'Close' }).click();
    const log = page.locator('section.card', { has: page.getByRole('heading', { name: 'Deliveries' }) });
    await expect.poll(() => log.locator('tbody tr').count(), { timeout: 10_000 }).toBe(2);
    await log.getByLabel('State').selectOption('failed');
    await log.getByText('No delivery is like that.').waitFor();
    expect(new URL(page.url()).hash).toMatch(/\?state=failed$/);
    await log.getByRole('button', { name: 'Resend failed' }).click();
    await log.getByText('None has failed').waitFor();
    await log.getByLabel('State').selectOption('');
    await log.locator('tbody tr').first().waitFor();
  });

  it('makes a key with scopes and an expiry that opens what it may, and revokes it', async () => {
    await page.getByRole('link', { name: 'Keys' }).click();
    await page.getByLabel('Name').fill('release pipeline');
    await page.getByRole('checkbox', { name: /^webhooks:read/ }).check();
    await page.getByRole('checkbox', { name: /^read/ }).uncheck();
    await page.getByLabel('Expires').selectOption('in 30 days');
    await page.getByRole('button', { name: 'Create key' }).click();
    const token = (await region('New API key').locator('code').textContent()) ?? '';
    const limited = createClient({ baseUrl: service.url, apiKey: token });
    expect(await limited.webhookEndpoints.list()).toHaveLength(1);
    await expect(limited.keys.list()).rejects.toMatchObject({ code: 'forbidden' });
    const key = (await client.keys.list()).find(({ name }) => name === 'release pipeline');
    expect(key?.scopes).toEqual(['webhooks:read']);
    expect(Math.round((Date.parse(key?.expires_at ?? '') - Date.now()) / 86_400_000)).toBe(30);
    await picture(page, 'keys-new');
    await page.getByRole('button', { name: 'I have it' }).click();
    await page.getByRole('button', { name: 'Revoke release pipeline…' }).click();
    await page.getByRole('button', { name: 'Revoke release pipeline for good' }).click();
    await page.getByText('revoked').waitFor();
    await expect(limited.webhookEndpoints.list()).rejects.toMatchObject({ code: 'key_revoked' });
  });

  it('shows those who may only look no buttons', async () => {
    const { token = '' } = await client.keys.create({ name: 'looks', scopes: ['read'] });
    const made = await open(SCREENS[0]);
    await signIn(made.page, token, 'webhooks');
    await made.page.getByRole('link', { name: receiver.url }).click();
    await made.page.locator('section.card', { hasText: 'Deliveries' }).first().waitFor();
    for (const name of ['Send test', 'Rotate secret', 'Disable', 'Resend failed']) {
      expect([name, await made.page.getByRole('button', { name }).count()]).toEqual([name, 0]);
    }
    await made.page.getByRole('link', { name: 'Keys' }).click();
    await made.page.getByText('this one has read').waitFor();
    await made.context.close();
  });

  it.each(SCREENS)('has no barriers and fits the screen: $name', async (screen) => {
    const made = await open(screen);
    await signIn(made.page, service.apiKey, 'webhooks');
    const [endpoint] = await client.webhookEndpoints.list();
    await client.webhookEndpoints.update(endpoint?.id ?? '', { description: 'oneword'.repeat(25) });
    const [delivery] = (await client.webhookEndpoints.deliveries(endpoint?.id ?? '')).data;
    const places: [string, string, string][] = [
      ['webhooks', 'webhooks', 'Webhooks'],
      ['endpoint', `webhooks/${endpoint?.id}?delivery=${delivery?.id}`, receiver.url],
      ['keys', 'keys', 'Keys'],
    ];
    for (const [name, path, heading] of places) {
      await made.page.goto(`/#/${path}`);
      await made.page.getByRole('heading', { name: heading, exact: true, level: 1 }).waitFor();
      if (name === 'endpoint') await made.page.getByText('Try 1:').waitFor();
      else await made.page.locator('tbody tr').first().waitFor();
      await picture(made.page, `${name}-${screen.name}`);
      expect({ name, barriers: await findBarriers(made.page) }).toEqual({ name, barriers: [] });
      const width = await made.page.evaluate('document.documentElement.scrollWidth');
      expect({ name, width }).toEqual({ name, width: screen.viewport.width });
    }
    await made.context.close();
  });

  it('deletes an endpoint after asking', async () => {
    await page.goto('/#/webhooks');
    await page.getByRole('link', { name: receiver.url }).click();
    await page.getByRole('button', { name: 'Delete…' }).click();
    await page.getByRole('button', { name: 'Delete', exact: true }).click();
    await page.getByText('No endpoint yet.').waitFor();
    expect(await client.webhookEndpoints.list()).toEqual([]);
    await context.close();
  });

  it('asked nothing of other hosts, and no script failed', () => expect(complaints).toEqual([]));
});
