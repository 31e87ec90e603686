import { useState } from 'react';
import { isSignedOut, type Trouble, toTrouble } from '../../api.js';
import { showBytes } from '../../format.js';
import { TroubleNote } from '../../parts/notes.js';
import { Section } from '../../parts/section.js';
import { mayWrite, useSession } from '../../session.js';
import { type Asset, callsOf } from '../kinds.js';
import { DropZone } from './drop-zone.js';
import { matchFiles } from './match-files.js';
import type { Picked } from './picked.js';
import { lastChange } from './remembered.js';
import { UploadProgress } from './upload-progress.js';
import { startUpload, useUploads } from './uploads.js';

/** An upload that is not complete: how it stands in this page, or the same files asked for again. */
export function ResumePanel({ asset }: { asset: Asset }) {
  const { session, onSignedOut } = useSession();
  const [problems, setProblems] = useState<readonly string[]>([]);
  const [trouble, setTrouble] = useState<Trouble | null>(null);
  const upload = useUploads().find(({ id }) => id === asset.id);

  const onPicked = async (picked: Picked[]) => {
    setProblems([]);
    setTrouble(null);
    try {
      const { uploads = [] } = await callsOf(asset.object).resumeUpload(asset.id);
      const missing = new Set(uploads.map(({ path }) => path));
      const found = await matchFiles(asset.files, missing, picked, (path) => lastChange(asset.id, path));
      if (found.problems.length > 0) setProblems(found.problems);
      else startUpload(asset.object, asset.name, found.files, asset.id);
    } catch (error) {
      if (isSignedOut(error)) onSignedOut();
      else setTrouble(toTrouble(error));
    }
  };
  return (
    <Section title="Upload">
      {upload === undefined ? (
        <>
          <p>This upload was begun and is not complete. What has arrived is kept for a day after its beginning.</p>
          <ul className="plain">
            {asset.files.map(({ path, bytes, sha256 }) => (
              <li key={path} className="line">
                <span>{path}</span>
                <span className="dim">
                  {showBytes(bytes)}
                  {sha256 === null ? '' : ', has arrived'}
                </span>
              </li>
            ))}
          </ul>
          {mayWrite(session) ? <DropZone label="To go on, choose the same files again." onPicked={onPicked} /> : null}
          {trouble === null ? null : <TroubleNote trouble={trouble} />}
          {problems.length === 0 ? null : (
            <div className="note bad" role="alert">
              These are not the files that the upload was begun with:
              <ul>
                {problems.map((problem) => (
                  <li key={problem}>{problem}</li>
                ))}
              </ul>
            </div>
          )}
        </>
      ) : (
        <UploadProgress upload={upload} />
      )}
    </Section>
  );
}
