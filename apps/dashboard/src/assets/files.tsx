import { showBytes } from '../format.js';
import { CopyButton } from '../parts/copy-button.js';
import { Scroll, Section } from '../parts/section.js';
import { type Asset, fileUrl } from './kinds.js';

/** An asset's files, to download. */
export function Files({ asset }: { asset: Asset }) {
  return (
    <Section title="Files">
      <Scroll label="Files" tall>
        <table>
          <thead>
            <tr>
              <th scope="col">File</th>
              <th scope="col">Size</th>
              <th scope="col">SHA-256</th>
            </tr>
          </thead>
          <tbody>
            {asset.files.map(({ path, bytes, sha256 }) => (
              <tr key={path}>
                <th scope="row">
                  <a href={fileUrl(asset, path)} download>
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
          </tbody>
        </table>
      </Scroll>
    </Section>
  );
}
