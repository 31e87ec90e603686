import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);
const PATIENCE_MS = 10_000;

/**
 * `cuda: ` and the GPU's name as NVIDIA's tool tells it; `cuda` where the tool is not there, or GPUs differ (which of
 * them CUDA counts first depends on its own settings).
 */
export async function cudaDeviceName(env: NodeJS.ProcessEnv = process.env): Promise<string> {
  try {
    const query = ['--query-gpu=name', '--format=csv,noheader'];
    const { stdout } = await run('nvidia-smi', query, { env, timeout: PATIENCE_MS });
    const [name, ...others] = new Set(stdout.split('\n').flatMap((line) => line.trim() || []));
    return name === undefined || others.length > 0 ? 'cuda' : `cuda: ${name}`;
  } catch {
    return 'cuda';
  }
}
