import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Provider } from './providers.js';
import { providerEnvironment } from './providers-session.js';

/** Characters kept of what a process writes. */
const OUTPUT = 8192;
/** Settings of the service, and whatever else may be a key to something. */
const SECRET = /^(AMALGAM|AWS|S3|PG)|_URL$|SECRET|TOKEN|PASSWORD|CREDENTIAL|_KEY$/i;

export interface Child {
  process: ChildProcess;
  /** The last of what it wrote. */
  output(): string;
  /** Resolves with how: `ended with SIGKILL`, say. */
  ended: Promise<string>;
}

/** Forks a program that runs onnxruntime on a provider. It is told who forked it, for `endWithParent`. */
export function startChild(entry: URL, provider: Provider): Child {
  const child = fork(fileURLToPath(entry), [String(process.pid)], {
    env: { ...harmless(process.env), ...providerEnvironment(provider) },
    // Not the flags of this process: a debugger's port is taken.
    execArgv: [],
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (chunk: Buffer) => {
      output = (output + chunk.toString()).slice(-OUTPUT);
    });
  }
  const ended = new Promise<string>((resolve) => {
    child.on('error', ({ message }) => resolve(`cannot be started: ${message}`));
    child.on('close', (code, killedBy) => resolve(`ended with ${killedBy ?? `exit code ${code}`}`));
  });
  return { process: child, output: () => output, ended };
}

/** What a process gets to know in which native code reads files of strangers. */
function harmless(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !SECRET.test(name)));
}
