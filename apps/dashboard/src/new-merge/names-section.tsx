import { hrefOf } from '../router.js';
import { AssetPicker } from './asset-picker.js';
import { Field } from './field.js';
import { shortName } from './names.js';

/** Which checkpoints the models of a pasted document are here. */
export function NamesSection({
  names,
  onChoose,
}: {
  names: readonly string[];
  onChoose(name: string, id: string): void;
}) {
  return (
    <div className="note warn">
      <p>
        Here models are checkpoints. Which ones are these? The chosen ones take the places of the names.{' '}
        <a href={hrefOf(['checkpoints'])}>Upload or register others</a>.
      </p>
      {names.map((name, i) => (
        <Field key={name} label={name} pointer={`/names/${i}`}>
          {(props) => (
            <AssetPicker
              {...props}
              kind="checkpoint"
              value=""
              placeholder={`Search by name, such as ${shortName(name)}`}
              onChange={(id) => onChoose(name, id)}
            />
          )}
        </Field>
      ))}
    </div>
  );
}
