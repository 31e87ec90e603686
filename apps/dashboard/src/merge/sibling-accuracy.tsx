import type { Merge, TaskReport } from '@amalgam/contracts';
import { Scroll, Section } from '../parts/section.js';
import { hrefOf } from '../router.js';
import { useLive } from '../use-live.js';
import { sameTask } from './inputs.js';
import { ShareBar } from './layer-shares.js';
import { findSiblings, type Judged } from './siblings.js';

/** Accuracies beside those of other merges of the same base and models. */
export function SiblingAccuracy({ merge, tasks }: { merge: Merge; tasks: readonly TaskReport[] }) {
  const { data: others } = useLive(`siblings ${merge.id}`, (signal) => findSiblings(merge, signal), 0);
  const labelled = tasks.filter(({ accuracy }) => accuracy !== null);
  if (others === undefined || others.length === 0 || labelled.length === 0) return null;
  const all: Judged[] = [{ merge, tasks }, ...others];
  const ids = all.map((one) => one.merge.id).join(',');
  return (
    <Section
      title="Other merges of the same models"
      aside={<a href={hrefOf(['compare'], { ids })}>compare them fully</a>}
    >
      <Scroll label="Accuracies of merges of the same models">
        <table>
          <thead>
            <tr>
              <th scope="col">Merge</th>
              {labelled.map(({ name }) => (
                <th key={name} scope="col">
                  {name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {all.map((one) => (
              <tr key={one.merge.id}>
                <th scope="row">
                  {one.merge.id === merge.id ? (
                    'this one'
                  ) : (
                    <a href={hrefOf(['merges', one.merge.id])}>{one.merge.name ?? one.merge.id}</a>
                  )}
                  <div className="dim">{one.merge.method}</div>
                </th>
                {labelled.map(({ name }) => (
                  <td key={name}>
                    <Accuracy share={accuracyOf(merge, one, name)} own={one.merge.id === merge.id} />
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
    </Section>
  );
}

function Accuracy({ share, own }: { share: number | null; own: boolean }) {
  if (share === null) return <span className="dim">not measured</span>;
  return <ShareBar kind={own ? 'merged' : 'base'} share={share} />;
}

/** How well `judged` does a task of `merge`. */
export function accuracyOf(merge: Merge, judged: Judged, task: string): number | null {
  const name = sameTask(merge.recipe, task, judged.merge.recipe);
  return judged.tasks.find((one) => one.name === name)?.accuracy ?? null;
}
