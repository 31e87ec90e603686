import type { AssetFile } from '@amalgam/contracts';
import { showBytes } from '../format.js';
import { CopyButton } from '../parts/copy-button.js';
import { Scroll, Section } from '../parts/section.js';

/** The result's files. */
export function Files({ mergeId, files }: { mergeId: string; files: readonly AssetFile[] }) {
  return (
    <Section title="Files">
      <Scroll label="Files">
        <table>
          <thead>
            <tr>
              <th scope="col">File</th>
              <th scope="col">Size</th>
              <th scope="col">SHA-256</th>
            </tr>
          </thead>
          <tbody>
            {files.map(({ path, bytes, sha256 }) => (
              <tr key={path}>
                <th scope="row">
                  <a href={linkTo(mergeId, path)} download>
                    {path}
                  </a>
                </th>
                <td>{showBytes(bytes)}</td>
                <td className="digest">
                  {typeof sha256 === 'string' ? (
                    <>
                      <code title={sha256}>{sha256.slice(0, 12)}…</code>{' '}
                      <CopyButton text={sha256} what={`the digest of ${path}`} />
                    </>
                  ) : (
                    <span className="dim">not known</span>
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
    </Section>
  );
}

function linkTo(mergeId: string, path: string): string {
  return `/v1/merges/${mergeId}/files/${path.split('/').map(encodeURIComponent).join('/')}`;
}
