import { AmalgamError, ERRORS, type ErrorCode, type Problem } from '@amalgam/contracts';

const TRIES = 5;
const FIRST_MS = 500;
const RETRIED = new Set([0, 408, 429, 500, 502, 503, 504]);

/**
 * Sends a file, or a part of one, to its link, with a few tries where the network or the service is in trouble. fetch would not
 * tell how much of a body has gone. `name` is the file's, for errors.
 *
 * @throws AmalgamError what the service says, `unavailable` when it cannot be reached; the signal's reason
 */
export async function sendBytes(
  url: string,
  { name, body }: { name: string; body: Blob },
  signal: AbortSignal,
  onProgress: (bytes: number) => void,
): Promise<void> {
  for (let tries = 1; ; tries++) {
    onProgress(0);
    const { status, text } = await put(toHere(url), body, signal, onProgress);
    if (status >= 200 && status < 300) return onProgress(body.size);
    if (tries === TRIES || !RETRIED.has(status)) throw toError(name, status, text);
    await pause(FIRST_MS * 2 ** (tries - 1), signal);
  }
}

/** Links to the service itself name its public address, which need not be the one that this page was opened at. */
export function toHere(url: string): string {
  const { pathname, search } = new URL(url, location.href);
  return pathname.startsWith('/v1/objects/') ? pathname + search : url;
}

function put(
  url: string,
  body: Blob,
  signal: AbortSignal,
  onProgress: (bytes: number) => void,
): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const request = new XMLHttpRequest();
    const abort = () => request.abort();
    request.upload.onprogress = ({ loaded }) => onProgress(loaded);
    request.onabort = () => reject(signal.reason);
    request.onloadend = () => {
      signal.removeEventListener('abort', abort);
      resolve({ status: request.status, text: request.responseText });
    };
    signal.addEventListener('abort', abort);
    request.open('PUT', url);
    request.setRequestHeader('content-type', 'application/octet-stream');
    request.send(body);
  });
}

function toError(name: string, status: number, text: string): AmalgamError {
  if (status === 0) {
    return new AmalgamError(
      'unavailable',
      `"${name}" could not be sent: the storage cannot be reached, or the file has changed`,
    );
  }
  try {
    const { code, detail } = JSON.parse(text) as Partial<Problem>;
    if (code !== undefined && Object.hasOwn(ERRORS, code)) return new AmalgamError(code, detail ?? ERRORS[code].title);
  } catch {
    // no JSON: another server's storage
  }
  const known = (Object.keys(ERRORS) as ErrorCode[]).find((name) => ERRORS[name].status === status);
  return new AmalgamError(known ?? 'internal', `"${name}" was not taken: the storage answered ${status}`);
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', abort);
      resolve();
    }, ms);
    signal.addEventListener('abort', abort, { once: true });
  });
}
