import type { ReactNode } from 'react';
import { showBytes, showCount } from '../format.js';
import { Section } from '../parts/section.js';
import { Time } from '../parts/time.js';
import { hrefOf } from '../router.js';
import type { Asset } from './kinds.js';

const WHOLE = new Intl.NumberFormat('en');

/** What its headers and its row say. */
export function Facts({ asset }: { asset: Asset }) {
  const metadata = Object.entries(asset.metadata);
  const facts: [string, ReactNode][] = [
    ['Size', `${showBytes(asset.bytes)} in ${showCount(asset.files.length, 'file')}`],
    ...(asset.state === 'ready' ? contentsOf(asset) : []),
    ['Created', <Time key="created" at={asset.created_at} exact />],
    ['From', sourceOf(asset)],
    ...metadata.map(([name, value]): [string, ReactNode] => [name, value]),
  ];
  return (
    <Section title="Facts">
      <dl className="pairs">
        {facts.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
    </Section>
  );
}

function contentsOf(asset: Asset): [string, ReactNode][] {
  if (asset.object === 'checkpoint') {
    const dtypes = Object.entries(asset.dtypes).map(([dtype, elements]) => `${WHOLE.format(elements)} ${dtype}`);
    return [
      ['Tensors', WHOLE.format(asset.tensors)],
      ['Parameters', WHOLE.format(asset.parameters)],
      ['Elements', dtypes.join(', ') || 'none'],
    ];
  }
  if (asset.object === 'graph') {
    return [
      ['Operator set', asset.opset ?? 'not stated'],
      ['Made by', asset.producer ?? 'not stated'],
      ['Nodes', WHOLE.format(asset.nodes)],
      ['Initializers', `${WHOLE.format(asset.initializers)}, ${WHOLE.format(asset.parameters)} numbers`],
    ];
  }
  return [
    ['Rows', WHOLE.format(asset.rows)],
    ['Labels', asset.labelled ? 'yes' : 'no'],
    ['Format', asset.format ?? 'not known'],
  ];
}

function sourceOf(asset: Asset): ReactNode {
  if (asset.object === 'checkpoint' && asset.merge_id !== null) {
    return (
      <a className="id" href={hrefOf(['merges', asset.merge_id])}>
        {asset.merge_id}
      </a>
    );
  }
  return asset.uri === null ? 'upload' : <code>{asset.uri}</code>;
}
