/**
 * Every error a user can meet, in one table: stable code, HTTP status, short title.
 * The API renders them as RFC 9457 problems, the CLI as one line and an exit code.
 */
export const ERRORS = {
  // What was sent is wrong.
  invalid_request: { status: 400, title: 'The request is not valid' },
  invalid_recipe: { status: 422, title: 'The recipe is not valid' },
  invalid_checkpoint: { status: 422, title: 'The checkpoint is not valid' },
  invalid_graph: { status: 422, title: 'The graph is not valid' },
  unsupported_graph: { status: 422, title: 'The graph has something that cannot be differentiated or merged' },
  unbound_graph: { status: 422, title: 'The graph’s weights cannot be matched to the checkpoint' },
  invalid_dataset: { status: 422, title: 'The dataset is not valid' },
  tuning_diverged: { status: 422, title: 'The tuning left the finite numbers' },
  unsafe_format: { status: 422, title: 'The file format can run code and is refused' },
  unknown_method: { status: 422, title: 'There is no such merging method' },
  tensor_missing: { status: 422, title: 'A model lacks a tensor' },
  shape_mismatch: { status: 422, title: 'Tensors of one name differ in shape' },
  dtype_unsupported: { status: 422, title: 'The dtype cannot be merged' },
  duplicate_model: { status: 422, title: 'A model is named twice' },
  checkpoint_not_ready: { status: 409, title: 'The checkpoint is not ready' },
  checkpoint_in_use: { status: 409, title: 'The checkpoint is used by an unfinished merge' },
  graph_not_ready: { status: 409, title: 'The graph is not ready' },
  graph_in_use: { status: 409, title: 'The graph is used by an unfinished merge' },
  dataset_not_ready: { status: 409, title: 'The dataset is not ready' },
  dataset_in_use: { status: 409, title: 'The dataset is used by an unfinished merge' },
  checkpoint_changed: { status: 409, title: 'The stored bytes are not those that were registered' },
  digest_mismatch: { status: 422, title: 'The bytes do not have the stated digest or size' },
  uri_not_allowed: { status: 403, title: 'The URI is outside the allowed roots' },
  hub_refused: { status: 422, title: 'The Hugging Face hub refuses access' },
  webhook_not_allowed: { status: 422, title: 'The webhook URL is not allowed' },
  // Who asks, how often, how much.
  unauthorized: { status: 401, title: 'The API key is missing or wrong' },
  key_expired: { status: 401, title: 'The API key has expired' },
  key_revoked: { status: 401, title: 'The API key was revoked' },
  forbidden: { status: 403, title: 'The API key may not do this' },
  not_found: { status: 404, title: 'There is no such thing here' },
  method_not_allowed: { status: 405, title: 'The resource does not take this verb' },
  payload_too_large: { status: 413, title: 'The body is larger than the limit' },
  unsupported_media_type: { status: 415, title: 'The content type is not supported' },
  rate_limited: { status: 429, title: 'Too many requests' },
  idempotency_key_reused: { status: 422, title: 'The Idempotency-Key was used with another request' },
  idempotency_in_progress: { status: 409, title: 'A request with this Idempotency-Key is still running' },
  merge_finished: { status: 409, title: 'The merge has finished' },
  merge_not_finished: { status: 409, title: 'The merge has not finished' },
  endpoint_disabled: { status: 409, title: 'The webhook endpoint is disabled' },
  upload_incomplete: { status: 409, title: 'Not every file of the upload has arrived' },
  link_expired: { status: 403, title: 'The signed link is wrong or has expired' },
  // What went wrong on our side or the machine's.
  canceled: { status: 409, title: 'The merge was canceled' },
  storage_full: { status: 507, title: 'There is no space left to write the result' },
  storage_error: { status: 502, title: 'The object store failed' },
  object_exists: { status: 412, title: 'The object exists already' },
  attempts_exhausted: { status: 500, title: 'Every attempt was lost with its worker' },
  device_unavailable: { status: 503, title: 'The execution provider cannot be used here' },
  memory_limit: { status: 422, title: 'The memory limit is too small for this merge' },
  unavailable: { status: 503, title: 'The service is not ready' },
  internal: { status: 500, title: 'Something went wrong on our side' },
} as const satisfies Record<string, { status: number; title: string }>;

export type ErrorCode = keyof typeof ERRORS;

export const ERROR_CODES = Object.keys(ERRORS) as ErrorCode[];

/** One bad field: a JSON pointer (RFC 6901) into what was sent, and the rule it breaks. */
export interface FieldError {
  pointer: string;
  detail: string;
}

/** Most errors that an answer lists: a wrong model, or a body of a megabyte, can have a hundred thousand. */
export const MOST_ERRORS = 100;

/**
 * The one error class of the project. `detail` is written for the person who sent the input: it names the
 * file, field or tensor and the rule it breaks, and never holds a secret. Of
 * `errors` the first hundred are listed.
 */
export class AmalgamError extends Error {
  readonly code: ErrorCode;
  readonly errors: FieldError[];

  constructor(code: ErrorCode, detail: string, options: { errors?: FieldError[]; cause?: unknown } = {}) {
    super(detail, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'AmalgamError';
    this.code = code;
    this.errors = (options.errors ?? []).slice(0, MOST_ERRORS);
  }

  get detail(): string {
    return this.message;
  }

  get status(): number {
    return ERRORS[this.code].status;
  }

  get title(): string {
    return ERRORS[this.code].title;
  }

  /** 2 when the input is wrong, 1 when the merge failed (docs/cli.md). */
  get exitCode(): 1 | 2 {
    return this.status < 500 && this.code !== 'canceled' ? 2 : 1;
  }
}

/** A field's error with a code of its own. */
export type FieldProblem = FieldError & { code: ErrorCode };

/** One error for all problems, at least one: the first one's code and words, and how many more there are. */
export function problemsError(problems: readonly FieldProblem[]): AmalgamError {
  const [first] = problems;
  const more = problems.length > 1 ? ` (and ${problems.length - 1} more)` : '';
  const errors = problems.slice(0, MOST_ERRORS).map(({ pointer, detail }) => ({ pointer, detail }));
  return new AmalgamError(first?.code ?? 'internal', `${first?.detail ?? ''}${more}`, { errors });
}

/** A checkpoint's file is not what it was when the merge was planned; `what` it is or has now. */
export function fileChanged(name: string, what: string): AmalgamError {
  return new AmalgamError('checkpoint_changed', `${name} ${what}: it was written again meanwhile`);
}

/** True for an AmalgamError, also one that crossed a thread or package boundary and lost its prototype. */
export function isAmalgamError(error: unknown): error is AmalgamError {
  return error instanceof AmalgamError;
}

/** What travels over a worker thread or into a database column; `fromPlain` is its inverse. */
export interface PlainError {
  code: ErrorCode;
  detail: string;
  errors?: FieldError[];
}

export function toPlain(error: unknown): PlainError {
  if (isAmalgamError(error)) {
    return error.errors.length > 0
      ? { code: error.code, detail: error.detail, errors: error.errors }
      : { code: error.code, detail: error.detail };
  }
  if (isNoSpace(error)) return { code: 'storage_full', detail: 'no space left on the device' };
  return { code: 'internal', detail: error instanceof Error ? error.message : String(error) };
}

export function fromPlain(plain: PlainError): AmalgamError {
  return new AmalgamError(plain.code, plain.detail, { errors: plain.errors ?? [] });
}

/** ENOSPC or EDQUOT from the file system. */
export function isNoSpace(error: unknown): boolean {
  const code = (error as { code?: unknown } | null)?.code;
  return code === 'ENOSPC' || code === 'EDQUOT';
}
