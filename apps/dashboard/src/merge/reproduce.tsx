import type { Merge } from '@amalgam/contracts';
import { CopyButton } from '../parts/copy-button.js';
import { Scroll, Section } from '../parts/section.js';

/** The recipe with every default filled in, and the command that makes the same merge again. */
export function Reproduce({ merge }: { merge: Merge }) {
  const recipe = JSON.stringify(merge.recipe, null, 2);
  const command = curlOf(merge, location.origin);
  return (
    <>
      <Code title="Recipe, as filled in" what="the recipe" text={recipe} />
      <Code title="The same with curl" what="the command" text={command} />
    </>
  );
}

/** A shell command; the key comes from the environment, so that it is in no shell's history. */
export function curlOf({ name, recipe, metadata }: Merge, origin: string): string {
  const body = JSON.stringify({ ...(name === null ? {} : { name }), recipe, metadata }, null, 2);
  return [
    `curl -sS ${origin}/v1/merges \\`,
    '  -H "Authorization: Bearer $AMALGAM_API_KEY" \\',
    '  -H "Content-Type: application/json" \\',
    `  -d '${body.replaceAll("'", "'\\''")}'`,
  ].join('\n');
}

function Code({ title, what, text }: { title: string; what: string; text: string }) {
  return (
    <Section title={title} aside={<CopyButton text={text} what={what} />}>
      <Scroll label={title} tall>
        <pre>{text}</pre>
      </Scroll>
    </Section>
  );
}
