import type { Report } from '@amalgam/contracts';
import { useMemo } from 'react';
import { showShare } from '../format.js';
import { Scroll, Section } from '../parts/section.js';
import { sharesByLayer } from './layers.js';

/** Trimmed share and sign conflicts, layer by layer. */
export function LayerSharesTable({ report }: { report: Report }) {
  const layers = useMemo(() => sharesByLayer(report), [report]);
  const trimmed = layers.some((layer) => layer.trimmed !== null);
  const conflicts = layers.some((layer) => layer.conflicts !== null);
  if (!trimmed && !conflicts) return null;
  return (
    <Section title="By layer">
      <Scroll label="Trimmed share and sign conflicts by layer" tall>
        <table>
          <thead>
            <tr>
              <th scope="col">Layer</th>
              {trimmed ? <th scope="col">Trimmed</th> : null}
              {conflicts ? <th scope="col">Sign conflicts</th> : null}
              <th scope="col" className="wide">
                Tensors
              </th>
            </tr>
          </thead>
          <tbody>
            {layers.map((layer) => (
              <tr key={layer.layer}>
                <th scope="row">
                  <code>{layer.layer}</code>
                </th>
                {trimmed ? <ShareCell kind="merged" share={layer.trimmed} /> : null}
                {conflicts ? <ShareCell kind="base" share={layer.conflicts} /> : null}
                <td className="wide">{layer.tensors}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
    </Section>
  );
}

function ShareCell({ kind, share }: { kind: string; share: number | null }) {
  return <td>{share === null ? <span className="dim">–</span> : <ShareBar kind={kind} share={share} />}</td>;
}

/** A share of one as a bar, with the number. */
export function ShareBar({ kind, share }: { kind: string; share: number }) {
  return (
    <div className="bar-cell">
      <span className="bar-track">
        <span className={`bar ${kind}`} style={{ width: `${share * 100}%` }} />
      </span>
      <span className="bar-value">{showShare(share)}</span>
    </div>
  );
}
