import type { AssetKind } from '@amalgam/contracts';
import { useId, useState } from 'react';
import { showBytes, showCount } from '../../format.js';
import { hrefOf } from '../../router.js';
import { KINDS } from '../kinds.js';
import { DropZone } from './drop-zone.js';
import { type Draft, type Picked, toDrafts } from './picked.js';
import { RegisterForm } from './register-form.js';
import { UploadProgress } from './upload-progress.js';
import { startUpload, type Upload, useUploads } from './uploads.js';

interface Named extends Draft {
  key: number;
}

let last = 0;

/** Takes files, asks for names, and shows how the uploads of this kind stand. */
export function UploadPanel({ kind }: { kind: AssetKind }) {
  const [drafts, setDrafts] = useState<readonly Named[]>([]);
  const [nothing, setNothing] = useState(false);
  const uploads = useUploads().filter((upload) => upload.kind === kind);
  const onPicked = (picked: Picked[]) => {
    const made = toDrafts(picked);
    setNothing(made.length === 0);
    setDrafts((now) => [...now, ...made.map((draft) => ({ ...draft, key: last++ }))]);
  };
  const begin = (chosen: readonly Named[]) => {
    for (const { name, files } of chosen) startUpload(kind, name.trim(), files);
    setDrafts((now) => now.filter((draft) => !chosen.includes(draft)));
  };
  return (
    <section className="card" aria-label="Add">
      <DropZone label={`Drop ${KINDS[kind].takes} here.`} onPicked={onPicked} />
      <RegisterForm kind={kind} />
      {nothing ? (
        <p className="note warn" role="alert">
          There was no file in that, or only hidden ones.
        </p>
      ) : null}
      {drafts.length === 0 ? null : (
        <ul className="plain drafts">
          {drafts.map((draft) => (
            <DraftRow
              key={draft.key}
              draft={draft}
              onName={(name) =>
                setDrafts((now) => now.map((each) => (each.key === draft.key ? { ...each, name } : each)))
              }
              onBegin={() => begin([draft])}
              onRemove={() => setDrafts((now) => now.filter(({ key }) => key !== draft.key))}
            />
          ))}
        </ul>
      )}
      {drafts.length < 2 ? null : (
        <p>
          <button type="button" className="primary" onClick={() => begin(drafts)}>
            Upload all {drafts.length}
          </button>
        </p>
      )}
      {uploads.map((upload) => (
        <UploadProgress key={upload.key} upload={upload} />
      ))}
      {kind === 'checkpoint' ? <MergeThem uploads={uploads} /> : null}
    </section>
  );
}

/** The next step, once models are here. The one that is called a base is taken for it; the form shows that, and may change it. */
function MergeThem({ uploads }: { uploads: readonly Upload[] }) {
  const ready = uploads.flatMap(({ id, name, state }) => (id !== null && state === 'ready' ? [{ id, name }] : []));
  if (ready.length < 2) return null;
  const bases = ready.filter(({ name }) => /\bbase\b/i.test(name));
  const base = bases.length === 1 ? bases[0]?.id : undefined;
  const models = ready.flatMap(({ id }) => (id === base ? [] : [id]));
  return (
    <p className="next">
      <a className="button" href={hrefOf(['new'], { base: base ?? '', models: models.join(',') })}>
        Merge these {ready.length}…
      </a>
    </p>
  );
}

interface DraftRowProps {
  draft: Draft;
  onName(name: string): void;
  onBegin(): void;
  onRemove(): void;
}

function DraftRow({ draft: { name, files }, onName, onBegin, onRemove }: DraftRowProps) {
  const id = useId();
  const bytes = files.reduce((sum, { file }) => sum + file.size, 0);
  return (
    <li className="line draft">
      <label htmlFor={id}>Name</label>
      <input id={id} value={name} maxLength={200} onChange={(event) => onName(event.target.value)} />
      <span className="dim" title={files.map(({ path }) => path).join('\n')}>
        {files.length === 1 ? files[0]?.path : showCount(files.length, 'file')}, {showBytes(bytes)}
      </span>
      <span className="actions">
        <button type="button" className="primary" onClick={onBegin}>
          Upload
        </button>
        <button type="button" onClick={onRemove} aria-label={`Leave out ${name}`}>
          Leave out
        </button>
      </span>
    </li>
  );
}
