/** The first items of a list that comes page by page; all of them without a number. */
export async function take<T>(items: AsyncIterable<T>, most = Number.POSITIVE_INFINITY): Promise<T[]> {
  const taken: T[] = [];
  for await (const item of items) {
    taken.push(item);
    if (taken.length >= most) break;
  }
  return taken;
}

/** JSON for machines. */
export function print(value: unknown): void {
  console.log(JSON.stringify(value, null, 2));
}
