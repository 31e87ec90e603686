import type { Checkpoint, Merge } from '@amalgam/contracts';
import { client } from '../api.js';
import { Scroll, Section } from '../parts/section.js';
import { hrefOf } from '../router.js';
import { useLive } from '../use-live.js';
import { modelsOf } from './inputs.js';
import { type LineageNode, layOutLineage, NODE } from './lineage-layout.js';

/** So many of each column are drawn. */
const MOST = 12;
/** Others may begin to use the result at any time. */
const EVERY_MS = 10_000;

/** Where the models came from, and who uses the result. */
async function loadLineage({ recipe, result }: Merge, signal: AbortSignal) {
  const ids = modelsOf(recipe).slice(0, MOST);
  // What was deleted since then is named by its id alone.
  const find = (id: string) => client.checkpoints.get(id, { signal }).catch(() => null);
  const inputs = await Promise.all(ids.map(find));
  const made = result === null ? null : await find(result.checkpoint_id);
  signal.throwIfAborted();
  const users =
    result === null ? null : await client.merges.page({ input: [result.checkpoint_id], limit: MOST }, { signal });
  return { ids, inputs, made, users };
}

/** Inputs, the merge, its result, and the merges that use it. */
export function Lineage({ merge }: { merge: Merge }) {
  const { data } = useLive(`lineage ${merge.id} ${merge.state}`, (signal) => loadLineage(merge, signal), EVERY_MS);
  if (data === undefined) return null;
  const { ids, inputs, made, users } = data;
  const more = modelsOf(merge.recipe).length - ids.length;
  const columns: LineageNode[][] = [
    ids.map((id, i) => inputNode(merge, id, inputs[i] ?? null)),
    [{ id: merge.id, role: merge.method, name: merge.name ?? merge.id, href: hrefOf(['merges', merge.id]) }],
    merge.result === null
      ? []
      : [
          {
            id: merge.result.checkpoint_id,
            role: 'result',
            name: made?.name ?? merge.result.checkpoint_id,
            href: hrefOf(['checkpoints', merge.result.checkpoint_id]),
          },
        ],
    (users?.data ?? []).map((user) => ({
      id: user.id,
      role: `used by, ${user.state}`,
      name: user.name ?? user.id,
      href: hrefOf(['merges', user.id]),
    })),
  ];
  const { nodes, lines, width, height } = layOutLineage(columns);
  return (
    <Section title="Lineage">
      <Scroll label="Inputs, merge, result, and what uses it">
        <div className="lineage" style={{ width, height }}>
          <svg width={width} height={height} aria-hidden="true">
            {lines.map(({ id, path }) => (
              <path key={id} d={path} />
            ))}
          </svg>
          <ul className="plain">
            {nodes.map(({ id, role, name, href, left, top }) => (
              <li key={`${role} ${id}`} style={{ left, top, width: NODE.width, height: NODE.height }}>
                <span className="dim lineage-text">{role}</span>
                <a className="lineage-text" href={href} title={id} aria-current={id === merge.id ? 'page' : undefined}>
                  {name}
                </a>
              </li>
            ))}
          </ul>
        </div>
      </Scroll>
      {more > 0 ? <p className="dim">And {more} more models.</p> : null}
      {users?.has_more === true ? <p className="dim">The latest {MOST} of the merges that use the result.</p> : null}
      {merge.result !== null && users?.data.length === 0 ? <p className="dim">No merge uses the result yet.</p> : null}
    </Section>
  );
}

function inputNode({ recipe }: Merge, id: string, checkpoint: Checkpoint | null): LineageNode {
  const role = id === recipe.base ? 'base' : 'model';
  const made = checkpoint?.merge_id ?? null;
  return {
    id,
    role: made === null ? role : `${role}, of a merge`,
    name: checkpoint?.name ?? id,
    href: made === null ? hrefOf(['checkpoints', id]) : hrefOf(['merges', made]),
  };
}
