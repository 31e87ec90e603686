// A process of its own around the embedded server, for tests that kill it: node embedded-child.mjs DIR [exit]
import { startEmbeddedPostgres } from '../dist/embedded.js';

const [dir, mode] = process.argv.slice(2);
const { url } = await startEmbeddedPostgres({ dir, settings: { fsync: 'off' } });
process.stdout.write(`${JSON.stringify({ url, listeners: process.listenerCount('SIGTERM') })}\n`);
if (mode === 'exit') process.exit(0);
setInterval(() => {}, 1000);
