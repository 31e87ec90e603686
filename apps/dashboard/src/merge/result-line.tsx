import type { AssetFile } from '@amalgam/contracts';
import { showBytes } from '../format.js';
import { hrefOf } from '../router.js';

/** The result as a checkpoint, and its weights to download where they are one file; all files are listed further down. */
export function ResultLine({
  checkpointId,
  files,
  urlOf,
}: {
  checkpointId: string;
  files: readonly AssetFile[];
  urlOf(path: string): string;
}) {
  const weights = files.filter(({ path }) => /^[^/]+\.safetensors$/.test(path));
  const [only] = weights.length === 1 ? weights : [];
  return (
    <p>
      Result: <a href={hrefOf(['checkpoints', checkpointId])}>the checkpoint</a>
      {only === undefined ? null : (
        <>
          , or download{' '}
          <a href={urlOf(only.path)} download>
            {only.path}
          </a>{' '}
          <span className="dim">({showBytes(only.bytes)})</span>
        </>
      )}
    </p>
  );
}
