import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { findBarriers } from './browser.js';
import type { TestService } from './service.js';

/** How the dashboard is looked at. */
export const SCREENS = [
  { name: 'light', colorScheme: 'light', viewport: { width: 1280, height: 900 } },
  { name: 'dark', colorScheme: 'dark', viewport: { width: 1280, height: 900 } },
  { name: 'phone', colorScheme: 'light', viewport: { width: 390, height: 844 } },
] as const;
export type Screen = (typeof SCREENS)[number];

/** A browser's window on the dashboard of a service. */
export interface Window {
  context: BrowserContext;
  page: Page;
  /** What the browser complained of, and where it asked beside the service. */
  complaints: string[];
}

/** Opens the dashboard and signs in; it shows the overview then. */
export async function openDashboard(
  browser: Browser,
  service: TestService,
  screen: Screen = SCREENS[0],
): Promise<Window> {
  const { colorScheme, viewport } = screen;
  const context = await browser.newContext({ baseURL: service.url, colorScheme, viewport });
  context.setDefaultTimeout(30_000);
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on('console', (message) => {
    // Refusals are part of what is tested, and the browser tells of each.
    const expected = /status of 4\d\d/.test(message.text());
    if (message.type() === 'error' && !expected) complaints.push(`${message.text()} ${message.location().url}`);
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('request', (request) => {
    if (!request.url().startsWith(`${service.url}/`)) complaints.push(`asked for ${request.url()}`);
  });
  await page.goto('/');
  await page.getByLabel('API key').fill(service.apiKey);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('heading', { name: 'Overview' }).waitFor();
  return { context, page, complaints };
}

export function region(page: Page, title: string) {
  return page.getByRole('region', { name: title, exact: true });
}

/** AMALGAM_SCREENSHOTS=folder keeps pictures of pages. */
export async function picture(page: Page, name: string): Promise<void> {
  const folder = process.env['AMALGAM_SCREENSHOTS'];
  if (folder === undefined) return;
  await mkdir(folder, { recursive: true });
  await page.screenshot({ path: join(folder, `${name}.png`), fullPage: true });
}

/** Scrolls 600 pixels up a frame, 200 times. Returns the middle of how many milliseconds the frames took. */
export async function medianFrame(page: Page): Promise<number> {
  const times = (await page.evaluate(`new Promise((resolve) => {
    const times = [];
    let last = performance.now();
    const step = () => {
      const now = performance.now();
      times.push(now - last);
      last = now;
      scrollBy(0, -600);
      if (times.length < 200) requestAnimationFrame(step);
      else resolve(times.sort((a, b) => a - b));
    };
    requestAnimationFrame(step);
  })`)) as number[];
  return times[100] ?? 0;
}

/** What axe finds, and by how much the page is wider than its window; nothing of either on a good page. */
export async function faultsOf(page: Page): Promise<string[]> {
  const width = (await page.evaluate('document.documentElement.scrollWidth')) as number;
  const room = page.viewportSize()?.width ?? width;
  const wide = width > room ? [`the page is ${width} pixels wide in a window of ${room}`] : [];
  return [...(await findBarriers(page)), ...wide];
}
