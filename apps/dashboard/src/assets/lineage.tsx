import type { Checkpoint, Merge } from '@amalgam/contracts';
import { client } from '../api.js';
import { Empty, Loading, TroubleNote } from '../parts/notes.js';
import { Scroll, Section } from '../parts/section.js';
import { StateBadge } from '../parts/state-badge.js';
import { hrefOf } from '../router.js';
import { useLive } from '../use-live.js';
import { type Asset, KINDS } from './kinds.js';
import { useUsers } from './use-users.js';

/** Where it comes from and what was made of it, from left to right. */
export function Lineage({ asset }: { asset: Asset }) {
  const { data, trouble } = useUsers(asset.id);
  const madeBy = asset.object === 'checkpoint' ? asset.merge_id : null;
  const lone = madeBy === null && data?.data.length === 0;
  return (
    <Section title="Lineage">
      {trouble === null ? null : <TroubleNote trouble={trouble} />}
      {data === undefined && trouble === null ? <Loading /> : null}
      {lone ? <Empty>No merge uses it.</Empty> : null}
      {data === undefined || lone ? null : (
        <Scroll label="Lineage">
          <ol className="kin">
            {madeBy === null ? null : <Makers mergeId={madeBy} />}
            <li>
              <h3>This {asset.object}</h3>
              <ul className="plain">
                <li className="kin-node here">{asset.name}</li>
              </ul>
            </li>
            {data.data.length === 0 ? null : (
              <li>
                <h3>Used by</h3>
                <ul className="plain">
                  {data.data.map((merge) => (
                    <MergeNode key={merge.id} merge={merge} />
                  ))}
                  {data.has_more ? <li className="dim">and older ones</li> : null}
                </ul>
              </li>
            )}
            <Results merges={data.data} />
          </ol>
        </Scroll>
      )}
    </Section>
  );
}

/** The merge that made a checkpoint, and what it was made of. */
function Makers({ mergeId }: { mergeId: string }) {
  const { data, trouble } = useLive(
    `makers of ${mergeId}`,
    async (signal) => {
      const merge = await client.merges.get(mergeId, { signal });
      return { merge, inputs: await inputsOf(merge, signal) };
    },
    0,
  );
  if (data === undefined) return <li>{trouble === null ? <Loading /> : <TroubleNote trouble={trouble} />}</li>;
  return (
    <>
      <li>
        <h3>Inputs</h3>
        <ul className="plain">
          {data.inputs.map(({ id, name }) => (
            <li key={id} className="kin-node">
              {name === null ? (
                <span className="dim">{id}, deleted</span>
              ) : (
                <a href={hrefOf([KINDS.checkpoint.plural, id])}>{name}</a>
              )}
            </li>
          ))}
        </ul>
      </li>
      <li>
        <h3>Made by</h3>
        <ul className="plain">
          <MergeNode merge={data.merge} />
        </ul>
      </li>
    </>
  );
}

function MergeNode({ merge: { id, name, method, state } }: { merge: Merge }) {
  return (
    <li className="kin-node">
      <a href={hrefOf(['merges', id])}>{name ?? id}</a> <StateBadge state={state} />
      <div className="dim">{method}</div>
    </li>
  );
}

function Results({ merges }: { merges: readonly Merge[] }) {
  const made = merges.flatMap(({ result, name, id }) => {
    return result === null ? [] : [{ id: result.checkpoint_id, name: name ?? id }];
  });
  if (made.length === 0) return null;
  return (
    <li>
      <h3>Results</h3>
      <ul className="plain">
        {made.map(({ id, name }) => (
          <li key={id} className="kin-node">
            <a href={hrefOf([KINDS.checkpoint.plural, id])}>{name}</a>
          </li>
        ))}
      </ul>
    </li>
  );
}

/** Base and models of a merge; the name is null for what has been deleted. */
async function inputsOf({ recipe }: Merge, signal: AbortSignal): Promise<{ id: string; name: string | null }[]> {
  const models = (recipe.models ?? []).map(({ model }) => model);
  const ids = [...new Set([recipe.base, ...models])].filter((id): id is string => typeof id === 'string');
  return Promise.all(
    ids.map((id) =>
      client.checkpoints.get(id, { signal }).then(
        ({ name }: Checkpoint) => ({ id, name }),
        () => ({ id, name: null }),
      ),
    ),
  );
}
