import { isFinal, type Report } from '@amalgam/contracts';
import { lazy, Suspense, useMemo } from 'react';
import { secondsBetween, showBytes, showCount, showSeconds } from '../format.js';
import { AccuracyTable } from '../merge/accuracy.js';
import { Actions } from '../merge/actions.js';
import { AdapterSummary } from '../merge/adapter.js';
import { Attempts } from '../merge/attempts.js';
import { CoefficientMap } from '../merge/coefficients.js';
import { EventLog } from '../merge/event-log.js';
import { LayerSharesTable } from '../merge/layer-shares.js';
import { Lineage } from '../merge/lineage.js';
import { Progress } from '../merge/progress.js';
import { Reproduce } from '../merge/reproduce.js';
import { ResultLine } from '../merge/result-line.js';
import { currentRun, lastProgress, rateOf, stagesOf, tuningOf, tuningOfReport } from '../merge/run.js';
import { SiblingAccuracy } from '../merge/sibling-accuracy.js';
import { TensorShares } from '../merge/tensor-shares.js';
import { Timeline } from '../merge/timeline.js';
import { TuningCharts } from '../merge/tuning-charts.js';
import { type Connection, useMerge } from '../merge/use-merge.js';
import { Files } from '../parts/files.js';
import { Loading, TroubleNote } from '../parts/notes.js';
import { Section } from '../parts/section.js';
import { StateBadge } from '../parts/state-badge.js';
import { Time, useNow } from '../parts/time.js';
import { hrefOf } from '../router.js';

// Few merges bring a webhook along.
const OwnWebhook = lazy(() => import('../webhooks/own-webhook.js'));

/** One merge: live while it runs, and then what came of it. */
export function MergePage({ id }: { id: string }) {
  const { merge, events, report, connection, trouble, changed } = useMerge(id);
  const run = useMemo(() => currentRun(events), [events]);
  const tuning = useMemo(() => {
    return report?.loss === undefined ? tuningOf(run) : tuningOfReport(report.loss, report.losses ?? []);
  }, [report, run]);
  const tasks = useMemo(() => merge?.recipe.tasks?.map(({ name }) => name) ?? [], [merge]);
  if (merge === null) return trouble === null ? <Loading /> : <TroubleNote trouble={trouble} />;
  return (
    <>
      <p className="crumbs">
        <a href={hrefOf(['merges'])}>Merges</a> / <span className="id">{merge.id}</span>
      </p>
      <div className="title">
        <h1>{merge.name ?? merge.id}</h1>
        <StateBadge state={merge.state} />
        <Live connection={connection} />
        <Actions merge={merge} onChanged={changed} />
      </div>
      <p className="dim">
        <a href={hrefOf(['methods', merge.method])}>{merge.method}</a> · created <Time at={merge.created_at} exact />
        <Took from={merge.started_at} to={merge.finished_at} />
      </p>
      {trouble === null ? null : <TroubleNote trouble={trouble} />}
      {merge.error === null ? null : <MergeError error={merge.error} />}
      {report === null ? null : <Warnings warnings={report.warnings} />}
      <Section title="Stages">
        <Timeline spans={stagesOf(run)} />
        {isFinal(merge.state) ? null : (
          <Progress state={merge.state} progress={lastProgress(run) ?? merge.progress} rate={rateOf(run)} />
        )}
        {report === null ? null : <Totals report={report} />}
        {merge.result === null ? null : (
          <ResultLine
            checkpointId={merge.result.checkpoint_id}
            files={merge.result.files}
            urlOf={(path) => linkTo(merge.id, path)}
          />
        )}
      </Section>
      {tuning.steps.length === 0 ? null : <TuningCharts series={tuning} tasks={tasks} />}
      {report?.tasks === undefined ? null : <AccuracyTable tasks={report.tasks} />}
      {report?.tasks === undefined ? null : <SiblingAccuracy merge={merge} tasks={report.tasks} />}
      {report?.coefficients === undefined ? null : (
        <CoefficientMap coefficients={report.coefficients} tensors={report.tensors} />
      )}
      {report?.adapter === undefined ? null : <AdapterSummary adapter={report.adapter} />}
      {report === null ? null : <LayerSharesTable report={report} />}
      {report === null ? null : <TensorShares report={report} />}
      <Lineage merge={merge} />
      {merge.result === null ? null : <Files files={merge.result.files} urlOf={(path) => linkTo(merge.id, path)} />}
      <Attempts attempts={merge.attempts} />
      {merge.webhook === null ? null : (
        <Suspense fallback={<Loading />}>
          <OwnWebhook merge={merge} webhook={merge.webhook} />
        </Suspense>
      )}
      <EventLog events={events} />
      <Reproduce merge={merge} />
    </>
  );
}

const CONNECTIONS: Record<Connection, string> = {
  connecting: 'connecting…',
  live: 'live',
  broken: 'connection lost, trying again',
  ended: '',
};

function Live({ connection }: { connection: Connection }) {
  return (
    <span role="status" className={`connection ${connection}`}>
      {CONNECTIONS[connection]}
    </span>
  );
}

function Took({ from, to }: { from: string | null; to: string | null }) {
  const seconds = secondsBetween(from, to, useNow());
  if (seconds === null) return null;
  return <> · {to === null ? `for ${showSeconds(Math.round(seconds))}` : `took ${showSeconds(seconds)}`}</>;
}

function MergeError({
  error: { code, detail, errors = [] },
}: {
  error: { code: string; detail: string; errors?: { pointer: string; detail: string }[] };
}) {
  return (
    <div className="note bad">
      <strong>{code}</strong> {detail}
      {errors.length === 0 ? null : (
        <ul>
          {errors.map(({ pointer, detail: rule }) => (
            <li key={`${pointer} ${rule}`}>
              <code>{pointer}</code> {rule}
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}

/** More warnings are folded away. */
const MOST_OPEN = 3;

function Warnings({ warnings }: { warnings: string[] }) {
  if (warnings.length === 0) return null;
  return (
    <details className="note warn" open={warnings.length <= MOST_OPEN}>
      <summary>{showCount(warnings.length, 'warning')}</summary>
      <ul>
        {warnings.map((warning) => (
          <li key={warning}>{warning}</li>
        ))}
      </ul>
    </details>
  );
}

function Totals({ report: { bytes_read, bytes_written, peak_rss_bytes, tuning } }: { report: Report }) {
  return (
    <p className="dim">
      read {showBytes(bytes_read)} · written {showBytes(bytes_written)} · at most {showBytes(peak_rss_bytes)} of memory
      {tuning === undefined
        ? ''
        : ` · tuned on ${tuning.provider}, ${showSeconds(tuning.seconds_per_step)} a step${
            tuning.resumed_at.length === 0 ? '' : `, resumed at step ${tuning.resumed_at.join(', ')}`
          }`}
    </p>
  );
}

function linkTo(mergeId: string, path: string): string {
  return `/v1/merges/${mergeId}/files/${path.split('/').map(encodeURIComponent).join('/')}`;
}
