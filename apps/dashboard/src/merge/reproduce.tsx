import type { Merge } from '@amalgam/contracts';
import { type KeyboardEvent, useId, useState } from 'react';
import { CopyButton } from '../parts/copy-button.js';
import { Scroll, Section } from '../parts/section.js';
import { SNIPPETS, type Tool } from './snippets.js';

const TOOLS = Object.keys(SNIPPETS) as Tool[];

/** The recipe with every default filled in, and programs that make the same merge again. */
export function Reproduce({ merge }: { merge: Merge }) {
  const [tool, setTool] = useState<Tool>('curl');
  const id = useId();
  const recipe = JSON.stringify(merge.recipe, null, 2);
  const program = SNIPPETS[tool](merge, location.origin);
  const move = (event: KeyboardEvent) => {
    const step = { ArrowRight: 1, ArrowLeft: TOOLS.length - 1 }[event.key];
    const next = step === undefined ? undefined : TOOLS[(TOOLS.indexOf(tool) + step) % TOOLS.length];
    if (next === undefined) return;
    event.preventDefault();
    setTool(next);
    document.getElementById(`${id}-${next}`)?.focus();
  };
  return (
    <>
      <Section title="Recipe, as filled in" aside={<CopyButton text={recipe} what="the recipe" />}>
        <Scroll label="Recipe, as filled in" tall>
          <pre>{recipe}</pre>
        </Scroll>
      </Section>
      <Section title="The same again" aside={<CopyButton text={program} what="the program" />}>
        <div className="tabs" role="tablist" aria-label="Written for" onKeyDown={move}>
          {TOOLS.map((name) => (
            <button
              key={name}
              id={`${id}-${name}`}
              type="button"
              role="tab"
              aria-selected={name === tool}
              aria-controls={`${id}-panel`}
              tabIndex={name === tool ? 0 : -1}
              onClick={() => setTool(name)}
            >
              {name}
            </button>
          ))}
        </div>
        <div id={`${id}-panel`} role="tabpanel" aria-labelledby={`${id}-${tool}`}>
          <Scroll label={`The same again with ${tool}`} tall>
            <pre>{program}</pre>
          </Scroll>
        </div>
      </Section>
    </>
  );
}
