import type { AssetFile } from '@amalgam/contracts';
import { showBytes } from '../format.js';
import { CopyButton } from './copy-button.js';
import { ScrollTable } from './scroll-table.js';
import { Section } from './section.js';

/** Files to download, with their digests where they are known. `urlOf` gives a file's address. */
export function Files({ files, urlOf }: { files: readonly AssetFile[]; urlOf: (path: string) => string }) {
  return (
    <Section title="Files">
      <ScrollTable label="Files" columns={['File', 'Size', 'SHA-256']} tall>
        {files.map(({ path, bytes, sha256 }) => (
          <tr key={path}>
            <th scope="row">
              <a href={urlOf(path)} download>
                {path}
              </a>
            </th>
            <td>{showBytes(bytes)}</td>
            <td className="digest">
              {sha256 === null ? (
                <span className="dim">not known</span>
              ) : (
                <>
                  <code title={sha256}>{sha256.slice(0, 12)}…</code>{' '}
                  <CopyButton text={sha256} what={`the digest of ${path}`} />
                </>
              )}
            </td>
          </tr>
        ))}
      </ScrollTable>
    </Section>
  );
}
