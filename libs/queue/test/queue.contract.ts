import { describe } from 'vitest';
import { type Backend, Bench } from './contract/bench.js';
import { closingContract } from './contract/closing.js';
import { deliveryContract } from './contract/delivery.js';
import { failureContract } from './contract/failure.js';

/** What every backend of the queue must do. */
export function queueContract(name: string, start: () => Promise<Backend>): void {
  describe(`queue contract: ${name}`, () => {
    const bench = new Bench(start);
    deliveryContract(bench);
    failureContract(bench);
    closingContract(bench);
  });
}
