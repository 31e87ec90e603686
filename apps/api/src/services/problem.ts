import {
  AmalgamError,
  type FieldError,
  isAmalgamError,
  isNoSpace,
  joinDetails,
  type Problem,
} from '@amalgam/contracts';

/** An error as RFC 9457 problem details. */
export function toProblem(error: AmalgamError, requestId: string): Problem {
  return {
    type: `urn:amalgam:problem:${error.code}`,
    title: error.title,
    status: error.status,
    detail: error.detail,
    code: error.code,
    ...(error.errors.length === 0 ? {} : { errors: error.errors }),
    request_id: requestId,
  };
}

/**
 * Whatever was thrown as an error that a user may see. What is not known is `internal`, and its text is for the log
 * only: it may name files, queries or addresses.
 */
export function toAmalgamError(error: unknown, bodyLimit: number): AmalgamError {
  if (isAmalgamError(error)) return error;
  if (isNoSpace(error)) return new AmalgamError('storage_full', 'no space left on the device', { cause: error });
  const { code, statusCode, message } = error as { code?: unknown; statusCode?: unknown; message?: unknown };
  const text = typeof message === 'string' ? message : '';
  if (isDatabaseAway(error)) {
    return new AmalgamError('unavailable', 'the database does not answer; try again', { cause: error });
  }
  switch (statusCode) {
    case 400:
      return new AmalgamError('invalid_request', badRequest(code, text), { cause: error });
    case 404:
      return new AmalgamError('not_found', 'there is no such thing here', { cause: error });
    case 413:
      return new AmalgamError('payload_too_large', `the body is larger than ${bodyLimit} bytes`, { cause: error });
    case 415:
      return new AmalgamError('unsupported_media_type', 'the body must be application/json', { cause: error });
    default:
      return new AmalgamError('internal', 'something went wrong on our side; the request id helps to find out what', {
        cause: error,
      });
  }
}

/** A connection that could not be made, broke, or was not free in time: Prisma's codes and kinds, pg's words, the system's codes. */
function isDatabaseAway(error: unknown): boolean {
  const { code, message, meta } = error as {
    code?: unknown;
    message?: unknown;
    meta?: { driverAdapterError?: unknown };
  };
  if (typeof code === 'string' && AWAY_CODES.test(code)) return true;
  if (typeof message === 'string' && AWAY_WORDS.test(message)) return true;
  const driver = meta?.driverAdapterError as { cause?: { kind?: unknown; originalCode?: unknown } } | undefined;
  const { kind, originalCode } = driver?.cause ?? {};
  if (typeof originalCode === 'string' && AWAY_CODES.test(originalCode)) return true;
  return typeof kind === 'string' && AWAY_KINDS.has(kind);
}

// The second one: this process is stopping, and has given up waiting for the request.
const AWAY_WORDS = /^(Connection terminated|Cannot use a pool after calling end)/;

const AWAY_CODES = /^(P1001|P1002|P1008|P1017|P2024|P2028|ECONNREFUSED|ECONNRESET|57P0[123])$/;
const AWAY_KINDS = new Set(['DatabaseNotReachable', 'ConnectionClosed', 'SocketTimeout', 'TooManyConnections']);

function badRequest(code: unknown, message: string): string {
  if (code === 'FST_ERR_BAD_URL') return 'the path cannot be decoded';
  if (typeof code === 'string' && code.startsWith('FST_')) return message;
  return `the body is not valid JSON: ${message}`;
}

/** The same error with its pointers below `prefix`: what a library says of a recipe is placed in the request's body. */
export function below(prefix: string, error: unknown): unknown {
  if (!isAmalgamError(error)) return error;
  const errors = error.errors.map(({ pointer, detail }) => ({ pointer: prefix + pointer, detail }));
  return new AmalgamError(error.code, error.detail, { errors, cause: error });
}

/** The same error, saying which field it is about. */
export function at(pointer: string, error: unknown): unknown {
  if (!isAmalgamError(error)) return error;
  return new AmalgamError(error.code, error.detail, { errors: [{ pointer, detail: error.detail }], cause: error });
}

/** Several bad fields as one error. */
export function invalid(errors: FieldError[]): AmalgamError {
  const details = errors.map(({ pointer, detail }) => (pointer === '' ? detail : `${pointer}: ${detail}`));
  return new AmalgamError('invalid_request', joinDetails(details), { errors });
}
