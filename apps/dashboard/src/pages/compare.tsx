import type { Merge, Report } from '@amalgam/contracts';
import { useId, useMemo, useState } from 'react';
import { client } from '../api.js';
import { useAssetName } from '../asset-names.js';
import { HeatMap } from '../charts/heat-map.js';
import { joinCoefficients, meanCoefficients } from '../compare/coefficients.js';
import { type Compared, CompareTable } from '../compare/compare-table.js';
import { compareRecipes } from '../compare/differences.js';
import { secondsBetween, showBytes, showCount, showNumber, showSeconds, showShare } from '../format.js';
import { ShareBar } from '../merge/layer-shares.js';
import { Empty, Loading, TroubleNote } from '../parts/notes.js';
import { Section } from '../parts/section.js';
import { StateBadge } from '../parts/state-badge.js';
import { Time } from '../parts/time.js';
import { hrefOf } from '../router.js';
import { useLive } from '../use-live.js';
import '../compare/compare.css';

/** More do not fit beside each other. */
const MOST = 8;
/** Some may still be running. */
const EVERY_MS = 5000;

interface Pair {
  merge: Merge;
  report: Report | null;
}

async function load(ids: readonly string[], signal: AbortSignal): Promise<Pair[]> {
  return Promise.all(
    ids.map(async (id) => {
      const merge = await client.merges.get(id, { signal });
      return { merge, report: merge.state === 'succeeded' ? await client.merges.report(id, { signal }) : null };
    }),
  );
}

/** Merges side by side: what their recipes have different, how well they do, what they learned. */
export default function ComparePage({ query }: { query: URLSearchParams }) {
  const ids = [...new Set((query.get('ids') ?? '').split(','))].filter((id) => id !== '').slice(0, MOST);
  return (
    <>
      <h1>Compare</h1>
      {ids.length < 2 ? (
        <Empty>
          Choose two or more merges in the <a href={hrefOf(['merges'])}>list</a>, and then <em>Compare</em>.
        </Empty>
      ) : (
        <Comparison key={ids.join()} ids={ids} />
      )}
    </>
  );
}

function Comparison({ ids }: { ids: readonly string[] }) {
  const { data, trouble } = useLive(`compare ${ids}`, (signal) => load(ids, signal), EVERY_MS);
  if (data === undefined) return trouble === null ? <Loading /> : <TroubleNote trouble={trouble} />;
  const names = data.map(({ merge }) => merge.name ?? merge.id);
  const merges = data.map(({ merge }, i) => {
    const name = names[i] ?? merge.id;
    // Runs of the same thing again often have the same name.
    return { id: merge.id, name: names.indexOf(name) === names.lastIndexOf(name) ? name : `${name} (${i + 1})` };
  });
  return (
    <>
      {trouble === null ? null : <TroubleNote trouble={trouble} />}
      <Facts merges={merges} pairs={data} />
      <Accuracies merges={merges} pairs={data} />
      <Recipes merges={merges} pairs={data} />
      <LearnedCoefficients merges={merges} pairs={data} />
    </>
  );
}

interface PartProps {
  merges: readonly Compared[];
  pairs: readonly Pair[];
}

const NONE = <span className="dim">–</span>;

function Facts({ merges, pairs }: PartProps) {
  const { length } = merges;
  const ids = merges.map(({ id }) => id);
  const took = ({ merge }: Pair) => secondsBetween(merge.started_at, merge.finished_at, Date.now());
  const rows = [
    {
      name: 'Merge',
      cells: pairs.map(({ merge: { id } }) => (
        <span key={id} className="buttons">
          <a href={hrefOf(['merges', id])}>open</a>
          {length < 3 ? null : (
            <a href={hrefOf(['compare'], { ids: ids.filter((other) => other !== id).join(',') })}>take out</a>
          )}
        </span>
      )),
    },
    { name: 'State', cells: pairs.map(({ merge }) => <StateBadge key={merge.id} state={merge.state} />) },
    { name: 'Method', cells: pairs.map(({ merge }) => merge.method) },
    { name: 'Created', cells: pairs.map(({ merge }) => <Time key={merge.id} at={merge.created_at} />) },
    {
      name: 'Took',
      cells: pairs.map((pair) => {
        const seconds = took(pair);
        return seconds === null ? NONE : showSeconds(seconds);
      }),
    },
    {
      name: 'Result',
      cells: pairs.map(({ merge: { result } }) => (result === null ? NONE : showBytes(result.bytes))),
    },
    {
      name: 'Sign conflicts',
      cells: pairs.map(({ report }) =>
        report?.sign_conflicts === undefined ? NONE : showShare(report.sign_conflicts),
      ),
    },
  ];
  return (
    <Section title={showCount(length, 'merge')}>
      <CompareTable label="Merges" merges={merges} rows={rows} />
    </Section>
  );
}

function Accuracies({ merges, pairs }: PartProps) {
  const accuracies = pairs.map(
    ({ report }) =>
      new Map((report?.tasks ?? []).flatMap((task) => (task.accuracy === null ? [] : [[task.name, task.accuracy]]))),
  );
  const tasks = [...new Set(accuracies.flatMap((map) => [...map.keys()]))];
  if (tasks.length === 0) return null;
  const row = (name: string, shares: (number | undefined)[]) => {
    const best = Math.max(...shares.map((share) => share ?? 0));
    return {
      name,
      cells: shares.map((share, i) =>
        share === undefined ? (
          NONE
        ) : (
          <span key={merges[i]?.id} className={share === best ? 'best' : undefined}>
            <ShareBar kind={share === best ? 'individual' : 'base'} share={share} />
            {share === best ? <span className="unseen">best</span> : null}
          </span>
        ),
      ),
    };
  };
  const means = accuracies.map((map) => {
    const shares = tasks.map((task) => map.get(task));
    return shares.includes(undefined)
      ? undefined
      : shares.reduce<number>((sum, share) => sum + (share ?? 0), 0) / tasks.length;
  });
  const rows = tasks.map((task) =>
    row(
      task,
      accuracies.map((map) => map.get(task)),
    ),
  );
  return (
    <Section title="Accuracies">
      <CompareTable label="Accuracies" merges={merges} rows={tasks.length < 2 ? rows : [...rows, row('mean', means)]} />
    </Section>
  );
}

function Recipes({ merges, pairs }: PartProps) {
  const [all, setAll] = useState(false);
  const id = useId();
  const differences = useMemo(() => compareRecipes(pairs.map(({ merge }) => merge.recipe)), [pairs]);
  const shown = all ? differences : differences.filter(({ same }) => !same);
  const same = differences.filter((one) => one.same).length;
  const toggle = (
    <span className="toggle">
      <input id={id} type="checkbox" checked={all} onChange={(event) => setAll(event.target.checked)} />{' '}
      <label htmlFor={id}>what is the same ({same})</label>
    </span>
  );
  return (
    <Section title="Recipes" aside={toggle}>
      {shown.length === 0 ? (
        <Empty>The recipes are the same.</Empty>
      ) : (
        <CompareTable
          label="Recipes"
          merges={merges}
          code
          rows={shown.map(({ path, values }) => ({
            name: path,
            cells: values.map((value, i) =>
              value === undefined ? NONE : <Value key={merges[i]?.id} value={String(value)} />,
            ),
          }))}
        />
      )}
    </Section>
  );
}

/** A value of a recipe; checkpoints by their names. */
function Value({ value }: { value: string }) {
  const name = useAssetName('checkpoint', value);
  return name === value ? <code>{value}</code> : <span title={value}>{name}</span>;
}

function LearnedCoefficients({ merges, pairs }: PartProps) {
  const learned = useMemo(
    () =>
      pairs.flatMap(({ report }, i) => {
        const { coefficients } = report ?? {};
        return coefficients === undefined ? [] : [{ name: merges[i]?.name ?? '', coefficients }];
      }),
    [pairs, merges],
  );
  const { columns, rows } = useMemo(() => joinCoefficients(learned), [learned]);
  if (learned.length === 0) return null;
  const means = pairs.map(({ report }) =>
    report?.coefficients === undefined ? null : meanCoefficients(report.coefficients),
  );
  const models = [...new Set(means.flatMap((map) => [...(map?.keys() ?? [])]))];
  return (
    <Section title="Coefficients">
      <CompareTable
        label="Mean coefficients"
        merges={merges}
        rows={models.map((model) => ({
          name: model,
          cells: means.map((map) => {
            const mean = map?.get(model);
            return mean === undefined ? NONE : showNumber(mean);
          }),
        }))}
      />
      <p className="dim">Means over tensors{rows.length === 0 ? '.' : ', and below the tensors themselves.'}</p>
      {rows.length === 0 ? null : (
        <HeatMap label="Coefficients by tensor, model and merge" columns={columns} rows={rows} />
      )}
    </Section>
  );
}
