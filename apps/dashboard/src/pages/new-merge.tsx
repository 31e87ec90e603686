import type { FieldError, Merge, Method, Recipe } from '@amalgam/contracts';
import { type FormEvent, useMemo, useState } from 'react';
import { client, isSignedOut } from '../api.js';
import { knownName } from '../asset-names.js';
import { type Draft, isForeign, listAt, type Path, pointerOf, setAt, textAt } from '../new-merge/draft.js';
import { Field } from '../new-merge/field.js';
import { MethodSection } from '../new-merge/method-section.js';
import { ModelsSection } from '../new-merge/models-section.js';
import { DTYPES, PlanPanel } from '../new-merge/plan-panel.js';
import { ProblemsContext } from '../new-merge/problems.js';
import { RecipeSection } from '../new-merge/recipe-section.js';
import { type Language, languageOf, readRecipe, writeRecipe } from '../new-merge/recipe-text.js';
import { TasksSection } from '../new-merge/tasks-section.js';
import { Typed } from '../new-merge/typed.js';
import { isWorthAsking, problemsOf, usePlan } from '../new-merge/use-plan.js';
import { readPairs, showPairs } from '../pairs.js';
import { Loading, TroubleNote } from '../parts/notes.js';
import { Section } from '../parts/section.js';
import { hrefOf } from '../router.js';
import { mayWrite, useSession } from '../session.js';
import { useLive } from '../use-live.js';
import '../new-merge/new-merge.css';

const USUAL = 'ties';
/** Characters of a merge's name. */
const MOST_NAME = 200;

/** Writes a recipe, by form and as text, with its plan beside it. The address may name a merge, a method, a base and models to begin with. */
export default function NewMergePage({ query }: { query: URLSearchParams }) {
  const from = query.get('from');
  const { data, trouble } = useLive(
    `new from ${from}`,
    async (signal) => ({
      methods: await client.methods.list({ signal }),
      merge: from === null ? null : await client.merges.get(from, { signal }),
    }),
    0,
  );
  return (
    <>
      <h1>New merge</h1>
      {data === undefined ? (
        trouble === null ? (
          <Loading />
        ) : (
          <TroubleNote trouble={trouble} />
        )
      ) : (
        <Editor key={query.toString()} methods={data.methods} merge={data.merge} begin={beginOf(query)} />
      )}
    </>
  );
}

function beginOf(query: URLSearchParams): Draft {
  const models = query.get('models')?.split(',') ?? [];
  const base = query.get('base');
  return {
    method: query.get('method') ?? USUAL,
    ...(base === null ? {} : { base }),
    ...(models.length === 0 ? {} : { models: models.map((model) => ({ model })) }),
  };
}

/** What a merge is called that nobody gives a name: lists of ids tell a reader nothing. */
function offeredName(draft: Draft): string {
  const ids = listAt(draft, ['models']).flatMap((model) => textAt(model, ['model']) || []);
  if (ids.length === 0) return '';
  const whole = `${textAt(draft, ['method'])} of ${ids.map(knownName).join(', ')}`;
  return [...whole].slice(0, MOST_NAME).join('');
}

function Editor({ methods, merge, begin }: { methods: readonly Method[]; merge: Merge | null; begin: Draft }) {
  const { session, onSignedOut } = useSession();
  const [draft, setDraft] = useState<Draft>(() => merge?.recipe ?? begin);
  const [language, setLanguage] = useState<Language>('JSON');
  const [text, setText] = useState(() => writeRecipe(draft, language));
  const [why, setWhy] = useState<string | null>(null);
  const [name, setName] = useState(merge?.name ?? '');
  const [metadata, setMetadata] = useState(() => showPairs(merge?.metadata ?? {}));
  const [busy, setBusy] = useState(false);
  const [refused, setRefused] = useState<{ draft: Draft; problems: readonly FieldError[] } | null>(null);
  const planned = usePlan(draft);
  const method = methods.find((one) => one.name === textAt(draft, ['method']));
  const pairs = readPairs(metadata);
  const problems = refused?.draft === draft ? refused.problems : planned.problems;

  const show = (next: Draft) => {
    setDraft(next);
    setText(writeRecipe(next, language));
    setWhy(null);
  };
  const change = (path: Path, value: unknown) => show(setAt(draft, path, value));
  const onText = (typed: string) => {
    setText(typed);
    const read = readRecipe(typed);
    if ('why' in read) return setWhy(read.why);
    setWhy(null);
    setDraft(read.draft);
    if (typed.trim() !== '') setLanguage(languageOf(typed));
  };
  const onLanguage = (next: Language) => {
    setLanguage(next);
    setText(writeRecipe(draft, next));
    setWhy(null);
  };
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    try {
      const made = await client.merges.create({
        ...(name.trim() === '' && offered === '' ? {} : { name: name.trim() || offered }),
        recipe: draft as Recipe,
        ...(pairs === null || Object.keys(pairs).length === 0 ? {} : { metadata: pairs }),
      });
      location.hash = hrefOf(['merges', made.id]);
    } catch (error) {
      setBusy(false);
      if (isSignedOut(error)) return onSignedOut();
      setRefused({ draft, problems: problemsOf(error) });
    }
  };
  const asked = isWorthAsking(draft);
  const foreign = useMemo(() => isForeign(draft), [draft]);
  const translated = foreign && !planned.behind ? (planned.plan?.recipe ?? null) : null;
  const offered = offeredName(foreign ? (translated ?? {}) : draft);

  return (
    <ProblemsContext value={problems}>
      <form className="editor" onSubmit={submit}>
        <div className="editor-form">
          {foreign ? null : (
            <>
              <ModelsSection method={method} draft={draft} change={change} />
              <MethodSection methods={methods} draft={draft} change={change} />
              <TasksSection method={method} draft={draft} change={change} />
            </>
          )}
          <RecipeSection
            text={text}
            language={language}
            why={why}
            draft={draft}
            onText={onText}
            onLanguage={onLanguage}
            onTakeOver={translated === null ? null : () => show(translated)}
          />
        </div>
        <div className="editor-side">
          <Section title="Merge">
            <Field label="Name (optional)" pointer="/name">
              {(props) => (
                <Typed
                  {...props}
                  written={name}
                  placeholder={offered}
                  means={(written) => written}
                  onType={(written) => setName(written)}
                />
              )}
            </Field>
            {foreign ? null : (
              <Field label="Written as" pointer={pointerOf(['out_dtype'])} hint="Of the floating-point tensors">
                {(props) => (
                  <select
                    {...props}
                    value={textAt(draft, ['out_dtype'])}
                    onChange={(event) => change(['out_dtype'], event.target.value || undefined)}
                  >
                    <option value="">as the base, tensor by tensor</option>
                    {DTYPES.map((dtype) => (
                      <option key={dtype}>{dtype}</option>
                    ))}
                  </select>
                )}
              </Field>
            )}
            <Field label="Metadata (optional)" pointer="/metadata" hint="Yours to find it by: team=vision, run=12">
              {(props) => (
                <Typed
                  {...props}
                  written={metadata}
                  means={(written) => written}
                  onType={(written) => setMetadata(written)}
                />
              )}
            </Field>
            {pairs === null ? <p className="wrong">Metadata is written key=value, with commas between.</p> : null}
            <button
              type="submit"
              className="primary"
              disabled={busy || !asked || why !== null || pairs === null || !mayWrite(session)}
            >
              {busy ? 'Sending…' : 'Merge'}
            </button>
            {mayWrite(session) ? null : <p className="dim">The key that is signed in may only read.</p>}
          </Section>
          <PlanPanel planned={{ ...planned, problems }} asked={asked} />
          {foreign || listAt(draft, ['models']).length > 0 ? null : (
            <p className="dim">
              A model is not here yet? <a href={hrefOf(['checkpoints'])}>Upload or register it</a>.
            </p>
          )}
        </div>
      </form>
    </ProblemsContext>
  );
}
