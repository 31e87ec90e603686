import type { Merge } from '@amalgam/contracts';
import { CopyButton } from '../parts/copy-button.js';
import { Scroll, Section } from '../parts/section.js';
import { curlOf } from './curl.js';

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

function Code({ title, what, text }: { title: string; what: string; text: string }) {
  return (
    <Section title={title} aside={<CopyButton text={text} what={what} />}>
      <Scroll label={title} tall>
        <pre>{text}</pre>
      </Scroll>
    </Section>
  );
}
