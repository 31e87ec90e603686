import type { CreateMerge, Merge } from '@amalgam/contracts';

/** Programs that make the same merge again. The key comes from the environment, so that it is in no file and no shell's history. */
export const SNIPPETS = { curl: curlOf, Python: pythonOf, TypeScript: typescriptOf } as const;
export type Tool = keyof typeof SNIPPETS;

/** What POST /v1/merges takes to make the same merge. */
export function bodyOf({ name, recipe, metadata }: Merge): CreateMerge {
  return { ...(name === null ? {} : { name }), recipe, metadata };
}

/** A shell command. */
export function curlOf(merge: Merge, origin: string): string {
  return [
    `curl -sS ${origin}/v1/merges \\`,
    '  -H "Authorization: Bearer $AMALGAM_API_KEY" \\',
    '  -H "Content-Type: application/json" \\',
    `  -d '${JSON.stringify(bodyOf(merge), null, 2).replaceAll("'", "'\\''")}'`,
  ].join('\n');
}

/** Python with nothing but its own library; it waits for the end. */
export function pythonOf(merge: Merge, origin: string): string {
  return `import json
import os
import time
import urllib.request


def call(path, body=None):
    request = urllib.request.Request(
        ${JSON.stringify(origin)} + path,
        data=None if body is None else json.dumps(body).encode(),
        headers={
            "Authorization": "Bearer " + os.environ["AMALGAM_API_KEY"],
            "Content-Type": "application/json",
        },
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


merge = call("/v1/merges", ${toPython(bodyOf(merge))})
while merge["state"] in ("queued", "running"):
    time.sleep(1)
    merge = call("/v1/merges/" + merge["id"])
print(merge["id"], merge["state"])
`;
}

/** TypeScript over the service's own client; it waits for the end. */
export function typescriptOf(merge: Merge, origin: string): string {
  return `import { createClient } from '@amalgam/client';

const client = createClient({ baseUrl: '${origin}', apiKey: process.env['AMALGAM_API_KEY'] ?? '' });
const { id } = await client.merges.create(${JSON.stringify(bodyOf(merge), null, 2)});
const merge = await client.merges.waitFor(id);
console.log(merge.id, merge.state);
`;
}

/** A value of JSON as Python writes it. */
export function toPython(value: unknown, indent = ''): string {
  if (value === null || value === undefined) return 'None';
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  if (typeof value !== 'object') return JSON.stringify(value);
  const inner = `${indent}    `;
  const [open, close, items] = Array.isArray(value)
    ? ['[', ']', value.map((item) => toPython(item, inner))]
    : ['{', '}', Object.entries(value).map(([key, item]) => `${JSON.stringify(key)}: ${toPython(item, inner)}`)];
  if (items.length === 0) return open + close;
  return `${open}\n${items.map((item) => `${inner}${item},\n`).join('')}${indent}${close}`;
}
