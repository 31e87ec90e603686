import { describe, it } from 'vitest';
import { startRedis } from '../../../test/support/redis.js';
import { queueContract } from './queue.contract.js';

const server = await startRedis();

if (server === null) {
  const notice =
    'SKIPPED: Redis queue contract suite — no redis-server (apt-get install redis-server or set REDIS_URL)';
  console.warn(notice);
  describe.skip(notice, () => {
    it('needs a Redis server', () => {});
  });
} else {
  queueContract('Redis', async () => ({
    config: { kind: 'redis', url: server.url },
    restart: server.owned ? server.restart : null,
    stop: server.stop,
  }));
}
