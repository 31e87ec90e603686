// node deploy/healthcheck.mjs PORT_VARIABLE PATH: exits with 0 when the program in this container answers with 2xx.
const [variable, path] = process.argv.slice(2);
const port = process.env[variable];
try {
  const { ok, status } = await fetch(`http://127.0.0.1:${port}${path}`, { signal: AbortSignal.timeout(5000) });
  if (!ok) throw new Error(`status ${status}`);
} catch (error) {
  console.error(`${variable}=${port} ${path}: ${error.message}`);
  process.exitCode = 1;
}
