import { getAt, type Path, pointerOf } from './draft.js';
import { Field, type FieldProps } from './field.js';
import { type FieldSpec, readSetting, showSetting } from './fields.js';
import { Typed } from './typed.js';

interface ParameterFieldsProps {
  fields: readonly FieldSpec[];
  draft: unknown;
  /** Where the recipe has them. */
  path: Path;
  change(path: Path, value: unknown): void;
  /** Where a value that is not given here comes from. */
  inherited?: unknown;
}

/** The parameters of a method, each asked for as its schema says. */
export function ParameterFields({ fields, draft, path, change, inherited }: ParameterFieldsProps) {
  return (
    <div className="fields">
      {fields.map((field) => {
        const at = [...path, field.name];
        return (
          <Field key={field.name} label={field.name} pointer={pointerOf(at)} hint={hintOf(field)}>
            {(props) => (
              <Setting
                {...props}
                field={field}
                value={getAt(draft, at)}
                fallback={showSetting(getAt(inherited, [field.name])) || field.fallback}
                onChange={(value) => change(at, value)}
              />
            )}
          </Field>
        );
      })}
    </div>
  );
}

function hintOf({ description, values, kind }: FieldSpec) {
  return (
    <>
      {description} {kind === 'number' || kind === 'json' ? <span className="values">{values}</span> : null}
    </>
  );
}

interface SettingProps extends FieldProps {
  field: FieldSpec;
  value: unknown;
  fallback: string;
  onChange(value: unknown): void;
}

function Setting({ field: { kind, options, gradient }, value, fallback, onChange, ...props }: SettingProps) {
  const written = showSetting(value);
  const choices = kind === 'boolean' ? ['true', 'false'] : options;
  // What varies by name is no choice any more: it is typed.
  if ((kind === 'boolean' || kind === 'choice') && (written === '' || choices.includes(written))) {
    return (
      <select {...props} value={written} onChange={(event) => onChange(readSetting(event.target.value, kind))}>
        <option value="">{fallback === '' ? '' : `${fallback} (default)`}</option>
        {choices.map((choice) => (
          <option key={choice}>{choice}</option>
        ))}
      </select>
    );
  }
  return (
    <span className="setting">
      <Typed
        {...props}
        written={written}
        placeholder={fallback}
        means={(text) => showSetting(readSetting(text, kind))}
        onType={(text) => onChange(readSetting(text, kind))}
      />
      {gradient ? <Slope value={value} /> : null}
    </span>
  );
}

const WIDTH = 64;
const HEIGHT = 20;

/** A gradient from the first layer to the last. */
function Slope({ value }: { value: unknown }) {
  if (!Array.isArray(value) || value.length < 2 || !value.every((item) => typeof item === 'number')) return null;
  const least = Math.min(...value);
  const spread = Math.max(...value) - least || 1;
  const points = value.map((item, i) => {
    return `${(i / (value.length - 1)) * WIDTH},${HEIGHT - ((item - least) / spread) * HEIGHT}`;
  });
  return (
    <svg className="slope" viewBox={`-2 -2 ${WIDTH + 4} ${HEIGHT + 4}`} aria-hidden="true">
      <polyline points={points.join(' ')} />
    </svg>
  );
}
