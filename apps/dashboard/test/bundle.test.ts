import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const WEB = fileURLToPath(new URL('../dist/web/', import.meta.url));
const files = readdirSync(WEB, { recursive: true, encoding: 'utf8' });

/** What `npm run build` has made. */
describe('the bundle', () => {
  it('takes less than 350 kB to load, all of it, compressed with gzip', () => {
    const packed = files.filter((name) => name.endsWith('.gz'));
    expect(packed.some((name) => name.endsWith('.js.gz'))).toBe(true);
    const bytes = packed.reduce((sum, name) => sum + readFileSync(WEB + name).length, 0);
    expect(bytes).toBeLessThan(350_000);
  });

  it('has nothing inline, and names no other host to load from', () => {
    const page = readFileSync(`${WEB}index.html`, 'utf8');
    expect(page).not.toMatch(/<script(?![^>]*\bsrc=)|<style|style=|\son\w+=|https?:/);
    const styles = files.filter((name) => name.endsWith('.css')).map((name) => readFileSync(WEB + name, 'utf8'));
    expect(styles.join('')).not.toMatch(/@import|url\(/);
  });
});
