import { CopyButton } from '../parts/copy-button.js';
import { Section } from '../parts/section.js';
import { beyondForm, type Draft, isForeign } from './draft.js';
import { putInPlace, strangeNames } from './names.js';
import { NamesSection } from './names-section.js';
import { LANGUAGES, type Language } from './recipe-text.js';

interface RecipeSectionProps {
  text: string;
  language: Language;
  /** Why the text cannot be read; null when it can. */
  why: string | null;
  draft: Draft;
  onText(text: string): void;
  onLanguage(language: Language): void;
  /** Takes what the service read in a document of mergekit into the form; null while it has not read it. */
  onTakeOver: (() => void) | null;
}

const LEAST_ROWS = 14;
const MOST_ROWS = 32;

/** The recipe as text, which the form follows and which follows the form. */
export function RecipeSection(props: RecipeSectionProps) {
  const { text, language, why, draft, onText, onLanguage, onTakeOver } = props;
  const rows = Math.min(MOST_ROWS, Math.max(LEAST_ROWS, text.split('\n').length));
  const beyond = beyondForm(draft);
  const names = isForeign(draft) && why === null ? strangeNames(draft) : [];
  return (
    <Section
      title="Recipe"
      aside={
        <span className="buttons">
          <fieldset className="switch">
            <legend className="unseen">Written as</legend>
            {LANGUAGES.map((name) => (
              <label key={name}>
                <input type="radio" name="language" checked={name === language} onChange={() => onLanguage(name)} />
                {name}
              </label>
            ))}
          </fieldset>
          <CopyButton text={text} what="the recipe" />
        </span>
      }
    >
      <label className="dim" htmlFor="recipe-text">
        The form writes here, and reads what is written here. A document of mergekit can be pasted, too.
      </label>
      <textarea
        id="recipe-text"
        spellCheck={false}
        rows={rows}
        value={text}
        aria-invalid={why !== null}
        aria-describedby={why === null ? undefined : 'recipe-why'}
        onChange={(event) => onText(event.target.value)}
      />
      {why === null ? null : (
        <p className="wrong" id="recipe-why" role="alert">
          {why}
        </p>
      )}
      {names.length === 0 ? null : (
        <NamesSection names={names} onChoose={(name, id) => onText(putInPlace(text, name, id))} />
      )}
      {isForeign(draft) ? (
        <div className="note warn">
          <p>This is a document of mergekit. The service reads it as it is; the form does not.</p>
          <button type="button" disabled={onTakeOver === null} onClick={() => onTakeOver?.()}>
            Translate it, and go on in the form
          </button>
        </div>
      ) : beyond.length === 0 ? null : (
        <p className="dim">Only here: {beyond.join(', ')}.</p>
      )}
    </Section>
  );
}
