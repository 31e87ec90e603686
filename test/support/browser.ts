import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import axe from 'axe-core';
import { type Browser, chromium, type Page } from 'playwright-core';

/** Why there is nothing to test with; part of the name of the suite that is skipped then. */
export const NO_BROWSER = 'no Chromium (Debian package chromium, or CHROMIUM=path)';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome'];
/** As root there is no sandbox to be had, and everything that calls home is off. */
const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/**
 * The Chromium that CHROMIUM names or that is on PATH; null when there is none, unless AMALGAM_REQUIRE_BROWSER=1, which
 * makes that an error.
 */
export function findBrowser(): string | null {
  const given = process.env['CHROMIUM'];
  if (given !== undefined && given !== '') return given;
  const folders = (process.env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '');
  const paths = folders.flatMap((folder) => NAMES.map((name) => join(folder, name)));
  const found = paths.find((path) => existsSync(path));
  if (found === undefined && process.env['AMALGAM_REQUIRE_BROWSER'] === '1') {
    throw new Error(`AMALGAM_REQUIRE_BROWSER=1, but there is ${NO_BROWSER}`);
  }
  return found ?? null;
}

export function launchBrowser(executablePath: string): Promise<Browser> {
  return chromium.launch({ executablePath, args: FLAGS });
}

/** What axe finds on a page that is serious or worse, one line each. */
export async function findBarriers(page: Page): Promise<string[]> {
  // Through the debugger: the page's policy lets no script in.
  await page.evaluate(axe.source);
  const results = (await page.evaluate('axe.run()')) as axe.AxeResults;
  return results.violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .flatMap(({ id, nodes }) =>
      nodes.map(({ target, failureSummary }) => `${id}: ${target.join(' ')}: ${failureSummary}`),
    );
}
