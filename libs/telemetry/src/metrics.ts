import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

/** Everything that is measured. Our names begin with `amalgam_`; Node's own are prom-client's (`nodejs_`, `process_`). */
export interface Metrics {
  /** Merges that reached a state, by method. */
  mergesTotal: Counter<'method' | 'state'>;
  /** How long each stage of a merge took. */
  mergeSeconds: Histogram<'method' | 'stage'>;
  /** Bytes that merges moved; direction is `read` or `written`. */
  mergeBytesTotal: Counter<'direction'>;
  /** Jobs in the queue; state is waiting, delayed, active or failed. */
  queueJobs: Gauge<'lane' | 'state'>;
  /** Requests by route pattern, never by path: a label with ids would grow without end. */
  httpRequestsTotal: Counter<'route' | 'method' | 'status'>;
  httpRequestSeconds: Histogram<'route' | 'method'>;
  /** Attempts to deliver a webhook; outcome is succeeded, failed or refused. */
  webhookDeliveriesTotal: Counter<'outcome'>;
  /** Workers with a recent heartbeat. */
  workers: Gauge;
  /** 1, with what this very worker is: `device` is what it tunes on, in words, `lanes` have commas between them. */
  workerInfo: Gauge<'device' | 'lanes' | 'version'>;
  /** Outbox rows that no dispatcher has handled yet. */
  outboxPending: Gauge;
  /** Runs before every render, to set gauges from the database, say. When it throws, the rest is still rendered. */
  collect(collector: () => Promise<void> | void): void;
  /** The exposition that GET /metrics answers. */
  render(): Promise<{ contentType: string; body: string }>;
}

const MERGE_SECONDS = [0.1, 0.5, 1, 5, 15, 60, 300, 900, 3_600, 14_400];
const HTTP_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** Metrics in a registry of their own, so that several programs can live in one process and in one test. */
export function createMetrics(): Metrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });

  const collectErrorsTotal = new Counter({
    name: 'amalgam_collect_errors_total',
    help: 'Times that a gauge could not be brought up to date',
    registers,
  });
  const collectors: (() => Promise<void> | void)[] = [];

  return {
    mergesTotal: new Counter({
      name: 'amalgam_merges_total',
      help: 'Merges that reached a state',
      labelNames: ['method', 'state'],
      registers,
    }),
    mergeSeconds: new Histogram({
      name: 'amalgam_merge_seconds',
      help: 'Seconds in each stage of a merge',
      labelNames: ['method', 'stage'],
      buckets: MERGE_SECONDS,
      registers,
    }),
    mergeBytesTotal: new Counter({
      name: 'amalgam_merge_bytes_total',
      help: 'Bytes read and written by merges',
      labelNames: ['direction'],
      registers,
    }),
    queueJobs: new Gauge({
      name: 'amalgam_queue_jobs',
      help: 'Jobs in the queue',
      labelNames: ['lane', 'state'],
      registers,
    }),
    httpRequestsTotal: new Counter({
      name: 'amalgam_http_requests_total',
      help: 'HTTP requests answered',
      labelNames: ['route', 'method', 'status'],
      registers,
    }),
    httpRequestSeconds: new Histogram({
      name: 'amalgam_http_request_seconds',
      help: 'Seconds to answer an HTTP request',
      labelNames: ['route', 'method'],
      buckets: HTTP_SECONDS,
      registers,
    }),
    webhookDeliveriesTotal: new Counter({
      name: 'amalgam_webhook_deliveries_total',
      help: 'Attempts to deliver a webhook',
      labelNames: ['outcome'],
      registers,
    }),
    workers: new Gauge({ name: 'amalgam_workers', help: 'Workers with a recent heartbeat', registers }),
    workerInfo: new Gauge({
      name: 'amalgam_worker_info',
      help: 'What this worker is; always 1',
      labelNames: ['device', 'lanes', 'version'],
      registers,
    }),
    outboxPending: new Gauge({
      name: 'amalgam_outbox_pending',
      help: 'Outbox rows that wait for a dispatcher',
      registers,
    }),
    collect(collector) {
      collectors.push(collector);
    },
    async render() {
      // One after another: a scrape must not take many connections of the database.
      for (const collector of collectors) {
        try {
          await collector();
        } catch {
          collectErrorsTotal.inc();
        }
      }
      return { contentType: registry.contentType, body: await registry.metrics() };
    },
  };
}
