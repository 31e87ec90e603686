import { type EventType, type Merge, WEBHOOK_BODY_LIMIT, type WebhookBody } from '@amalgam/contracts';

/** What is left of a text that has to be short, in characters. */
const SHORT = 1000;

/** Makes a merge smaller at one place; null where there is nothing to gain. */
interface Cut {
  /** JSON pointer into the body. */
  pointer: string;
  make(merge: Merge): Merge | null;
}

/** In the order of how little a receiver misses, which can GET the rest. */
const CUTS: readonly Cut[] = [
  {
    pointer: '/data/result/files',
    make: (merge) =>
      merge.result === null || merge.result.files.length === 0
        ? null
        : { ...merge, result: { ...merge.result, files: [] } },
  },
  {
    pointer: '/data/recipe',
    make: (merge) => {
      const { method, base, models } = merge.recipe;
      const first = models.slice(0, 1).map(({ model }) => ({ model }));
      return { ...merge, recipe: { method, ...(base === undefined ? {} : { base }), models: first } };
    },
  },
  {
    pointer: '/data/attempts',
    make: (merge) => ({ ...merge, attempts: merge.attempts.slice(-1).map(withShortError) }),
  },
  {
    pointer: '/data/error',
    make: (merge) => (merge.error === null ? null : { ...merge, error: shortError(merge.error) }),
  },
  {
    pointer: '/data/metadata',
    make: (merge) => (Object.keys(merge.metadata).length === 0 ? null : { ...merge, metadata: {} }),
  },
];

/**
 * The text of a webhook about a merge: the object that GET returns, whole unless that is more than a webhook should
 * hold. What was cut then is named in `truncated`.
 */
export function mergeBody(type: EventType, at: Date, merge: Merge): string {
  const body: WebhookBody = { type, timestamp: at.toISOString(), data: merge };
  let text = JSON.stringify(body);
  const truncated: string[] = [];
  for (const { pointer, make } of CUTS) {
    if (Buffer.byteLength(text) < WEBHOOK_BODY_LIMIT) break;
    const less = make(body.data);
    if (less === null) continue;
    truncated.push(pointer);
    body.data = less;
    text = JSON.stringify({ ...body, truncated });
  }
  return text;
}

type Attempt = Merge['attempts'][number];

function withShortError(attempt: Attempt): Attempt {
  return attempt.error === null ? attempt : { ...attempt, error: shortError(attempt.error) };
}

function shortError<E extends NonNullable<Attempt['error']>>({ code, detail }: E): { code: E['code']; detail: string } {
  return { code, detail: detail.slice(0, SHORT) };
}
