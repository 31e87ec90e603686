// Bundles the dashboard into dist/web and compresses what it holds; does nothing when that is newer than the sources.
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { build } from 'vite';

const folder = dirname(fileURLToPath(import.meta.url));
const out = join(folder, 'dist/web');
const sources = ['src', 'index.html', 'icon.svg', 'build.mjs', 'package.json', '../../package-lock.json'];
const libraries = ['../../libs/contracts/dist', '../../libs/client/dist'];

function isFresh() {
  const made = join(out, 'index.html.gz');
  if (process.argv.includes('--force') || !existsSync(made)) return false;
  const since = statSync(made).mtimeMs;
  return [...sources, ...libraries]
    .flatMap((path) => filesOf(join(folder, path)))
    .every((file) => {
      return file.endsWith('.tsbuildinfo') || statSync(file).mtimeMs < since;
    });
}

function filesOf(path) {
  if (!statSync(path).isDirectory()) return [path];
  const entries = readdirSync(path, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

if (!isFresh()) {
  await build({
    root: folder,
    configFile: false,
    logLevel: 'warn',
    build: {
      outDir: out,
      emptyOutDir: true,
      target: 'es2022',
      // Nothing inline: the policy that the page is served with allows neither scripts nor images in the text.
      assetsInlineLimit: 0,
      modulePreload: { polyfill: false },
      // What the client has for files of a machine; a browser has none and never asks for it.
      rolldownOptions: { external: /^node:/ },
    },
  });
  // index.html last, whose time says when all of it was made.
  const files = filesOf(out).sort((a, b) => Number(a.endsWith('index.html')) - Number(b.endsWith('index.html')));
  for (const file of files) {
    const bytes = readFileSync(file);
    writeFileSync(`${file}.br`, brotliCompressSync(bytes));
    writeFileSync(`${file}.gz`, gzipSync(bytes, { level: 9 }));
  }
}
