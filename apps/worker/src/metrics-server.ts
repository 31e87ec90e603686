import { createServer, type Server } from 'node:http';
import type { Logger, Metrics } from '@amalgam/telemetry';

/** GET /metrics of a worker, for Prometheus; everything else is 404. */
export async function startMetricsServer(host: string, port: number, metrics: Metrics, log: Logger): Promise<Server> {
  const server = createServer((request, response) => {
    if (request.method !== 'GET' || request.url !== '/metrics') {
      response.writeHead(404).end();
      return;
    }
    metrics.render().then(
      ({ contentType, body }) => response.writeHead(200, { 'content-type': contentType }).end(body),
      (error) => {
        log.warn({ err: error }, 'metrics could not be rendered');
        response.writeHead(500).end();
      },
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  // A metrics port alone keeps no program alive.
  server.unref();
  return server;
}
