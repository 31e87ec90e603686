import { showBytes, showCount } from '../../format.js';
import { TroubleNote } from '../../parts/notes.js';
import { hrefOf } from '../../router.js';
import { KINDS } from '../kinds.js';
import { cancelUpload, forgetUpload, pauseUpload, resumeUpload, type Upload } from './uploads.js';

/** Files that are shown one by one; of more, those that are not yet there come first. */
const MOST_FILES = 50;

/** How far an upload is, file by file, and what can be done about it. */
export function UploadProgress({ upload }: { upload: Upload }) {
  const { key, kind, name, id, state, files, trouble } = upload;
  const total = files.reduce((sum, { bytes }) => sum + bytes, 0);
  const sent = files.reduce((sum, file) => sum + file.sent, 0);
  const arrived = files.filter((file) => file.state === 'arrived').length;
  const title = name === '' ? (id ?? 'upload') : name;
  return (
    <article className="upload" aria-label={`Upload of ${title}`}>
      <div className="line">
        <strong>{id === null ? title : <a href={hrefOf([KINDS[kind].plural, id])}>{title}</a>}</strong>
        <span role="status">{WORDS[state]}</span>
        <span className="dim">
          {arrived} of {showCount(files.length, 'file')}, {showBytes(sent)} of {showBytes(total)}
        </span>
        <span className="actions">
          {state === 'sending' ? (
            <button type="button" onClick={() => pauseUpload(key)}>
              Pause
            </button>
          ) : null}
          {state === 'paused' || state === 'failed' ? (
            <button type="button" onClick={() => resumeUpload(key)}>
              {state === 'paused' ? 'Go on' : 'Try again'}
            </button>
          ) : null}
          {state === 'ready' ? (
            <button type="button" onClick={() => forgetUpload(key)}>
              Done
            </button>
          ) : state === 'checking' ? null : (
            <button type="button" onClick={() => cancelUpload(key)}>
              Cancel
            </button>
          )}
        </span>
      </div>
      {trouble === null ? null : <TroubleNote trouble={trouble} />}
      {state === 'ready' ? null : (
        <>
          <progress aria-label={`${title}: bytes sent`} value={sent} max={Math.max(1, total)} />
          {files.length === 1 ? null : <FileList files={files} />}
        </>
      )}
    </article>
  );
}

const WORDS: Record<Upload['state'], string> = {
  sending: 'is being sent',
  paused: 'paused',
  checking: 'all there; the service reads it',
  ready: 'ready',
  failed: 'not finished',
};

function FileList({ files }: { files: Upload['files'] }) {
  const order = { sending: 0, waiting: 1, arrived: 2 };
  const shown =
    files.length <= MOST_FILES ? files : files.toSorted((a, b) => order[a.state] - order[b.state]).slice(0, MOST_FILES);
  return (
    <ul className="plain upload-files">
      {shown.map(({ path, bytes, sent, state }) => (
        <li key={path} className="line">
          <progress aria-label={path} value={bytes === 0 && state === 'arrived' ? 1 : sent} max={Math.max(1, bytes)} />
          <span className="upload-path">{path}</span>
          <span className="dim">{state === 'sending' ? `${showBytes(sent)} of ${showBytes(bytes)}` : state}</span>
        </li>
      ))}
      {files.length > shown.length ? <li className="dim">and {files.length - shown.length} more</li> : null}
    </ul>
  );
}
