import { AmalgamError } from '@amalgam/contracts';

/**
 * Passes a stream's chunks on as bytes and counts them.
 * @throws payload_too_large as soon as there are more than `maxBytes`
 */
export async function* limitBytes(
  key: string,
  source: AsyncIterable<Uint8Array | string>,
  maxBytes = Number.POSITIVE_INFINITY,
): AsyncGenerator<Uint8Array, void, undefined> {
  let bytes = 0;
  for await (const chunk of source) {
    const part = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
    bytes += part.byteLength;
    if (bytes > maxBytes) {
      throw new AmalgamError(
        'payload_too_large',
        `object ${key}: the body is larger than the ${maxBytes} bytes allowed`,
      );
    }
    yield part;
  }
}
