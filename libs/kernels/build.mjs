// Compiles the SIMD kernels to WebAssembly. Skipped when the output is newer than every source.
import { mkdirSync, readdirSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('.', import.meta.url));
const output = `${here}wasm/kernels.wasm`;
const newest = Math.max(...readdirSync(`${here}assembly`).map((f) => statSync(`${here}assembly/${f}`).mtimeMs));
const built = statSync(output, { throwIfNoEntry: false })?.mtimeMs ?? 0;

if (built < newest) {
  const asc = await import('assemblyscript/asc');
  mkdirSync(`${here}wasm`, { recursive: true });
  const { error, stderr } = await asc.main([
    `${here}assembly/index.ts`,
    ...['--outFile', output],
    ...['--optimizeLevel', '3', '--shrinkLevel', '0', '--noAssert', '--runtime', 'stub', '--enable', 'simd'],
    ...['--initialMemory', '1', '--maximumMemory', '65536'],
  ]);
  if (error) {
    console.error(stderr.toString());
    process.exit(1);
  }
}
