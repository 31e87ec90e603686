import { register } from 'prom-client';
import { describe, expect, it } from 'vitest';
import { createMetrics } from '../src/index.js';

describe('metrics', () => {
  it('renders ours and those of the process, in a registry of its own', async () => {
    const metrics = createMetrics();
    metrics.mergesTotal.inc({ method: 'ties', state: 'succeeded' });
    metrics.mergeSeconds.observe({ method: 'ties', stage: 'merging' }, 2);
    metrics.mergeBytesTotal.inc({ direction: 'read' }, 1024);
    metrics.queueJobs.set({ lane: 'cpu', state: 'waiting' }, 3);
    metrics.httpRequestsTotal.inc({ route: '/v1/merges/:id', method: 'GET', status: '200' });
    metrics.httpRequestSeconds.observe({ route: '/v1/merges/:id', method: 'GET' }, 0.02);
    metrics.webhookDeliveriesTotal.inc({ outcome: 'succeeded' });
    metrics.workers.set(2);
    metrics.workerInfo.set({ device: 'cuda: NVIDIA L4', lanes: 'gpu', version: '1.2.3' }, 1);
    metrics.outboxPending.set(0);
    const { contentType, body } = await metrics.render();
    expect(contentType).toContain('text/plain');
    for (const line of [
      'amalgam_merges_total{method="ties",state="succeeded"} 1',
      'amalgam_merge_seconds_bucket{le="5",method="ties",stage="merging"} 1',
      'amalgam_merge_bytes_total{direction="read"} 1024',
      'amalgam_queue_jobs{lane="cpu",state="waiting"} 3',
      'amalgam_http_requests_total{route="/v1/merges/:id",method="GET",status="200"} 1',
      'amalgam_http_request_seconds_count{route="/v1/merges/:id",method="GET"} 1',
      'amalgam_webhook_deliveries_total{outcome="succeeded"} 1',
      'amalgam_workers 2',
      'amalgam_worker_info{device="cuda: NVIDIA L4",lanes="gpu",version="1.2.3"} 1',
      'amalgam_outbox_pending 0',
    ]) {
      expect(body.split('\n')).toContain(line);
    }
    expect(body).toContain('process_resident_memory_bytes');
    expect(register.getMetricsAsArray()).toHaveLength(0);
    // Twice in one process.
    expect((await createMetrics().render()).body).not.toContain('method="ties"');
  });

  it('collects before it renders, and renders although a collector fails', async () => {
    const metrics = createMetrics();
    metrics.collect(() => {
      throw new Error('the database is away');
    });
    metrics.collect(async () => metrics.workers.set(7));
    const { body } = await metrics.render();
    expect(body).toContain('amalgam_workers 7');
    expect(body).toContain('amalgam_collect_errors_total 1');
  });
});
