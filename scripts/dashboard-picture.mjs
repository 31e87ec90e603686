// node scripts/dashboard-picture.mjs — takes docs/dashboard.png anew: a merge by AdaMerging++ in a real browser, over a service of its own.
// Needs a build and Chromium (CHROMIUM=path, else `chromium`); takes a minute or two.
import { execFile } from 'node:child_process';
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { startService } from '@amalgam/cli';
import { chromium } from 'playwright-core';

const inRepository = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url));
const home = await mkdtemp(join(tmpdir(), 'amalgam-picture-'));
await chmod(home, 0o755); // as root the database runs as another user, who must get in
const service = await startService({
  env: { ...process.env, AMALGAM_HOME: home, AMALGAM_PORT: '0', AMALGAM_DEVICE: 'cpu', AMALGAM_LOG_LEVEL: 'warn' },
  workers: 1,
  output: 'ignore',
});
try {
  const key = (await readFile(service.keyFile, 'utf8')).trim();
  const recipe = inRepository('examples/recipes/adamerging-pp.yaml');
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [inRepository('apps/cli/dist/main.js'), 'submit', recipe, '--name', 'vit6, AdaMerging++', '--wait', '--json'],
    { env: { ...process.env, AMALGAM_URL: service.url, AMALGAM_API_KEY: key }, maxBuffer: 2 ** 28 },
  );
  const { merge } = JSON.parse(stdout.trim().split('\n').at(-1));
  await takePicture(merge.id, key);
} finally {
  await service.stop();
  await rm(home, { recursive: true, force: true });
}

async function takePicture(id, key) {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking'],
  });
  try {
    const page = await browser.newPage({ viewport: { width: 1140, height: 1560 } });
    await page.goto(`${service.url}/#/merges/${id}`);
    await page.getByLabel('API key').fill(key);
    await page.getByRole('button', { name: 'Sign in' }).click();
    const map = page.getByRole('region', { name: 'Coefficients', exact: true }).locator('canvas');
    await map.waitFor();
    const box = await map.boundingBox();
    await page.mouse.move(box.x + box.width * 0.3, box.y + box.height * 0.25);
    await page.waitForTimeout(500);
    await page.screenshot({ path: inRepository('docs/dashboard.png') });
  } finally {
    await browser.close();
  }
}
