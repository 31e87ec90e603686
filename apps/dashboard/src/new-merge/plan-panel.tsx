import { type FieldError, OUT_DTYPES, type Plan } from '@amalgam/contracts';
import { showBytes, showCount, showSeconds } from '../format.js';
import { Scroll, Section } from '../parts/section.js';
import { goTo } from './problems.js';
import type { Planned } from './use-plan.js';

/** What the merge will do, or why it cannot be made. */
export function PlanPanel({ planned: { plan, problems, behind }, asked }: { planned: Planned; asked: boolean }) {
  return (
    <Section title="Plan" aside={<span className="dim">{behind && asked ? 'checking…' : ''}</span>}>
      <div role="status" aria-busy={behind && asked} className={behind ? 'behind' : undefined}>
        {!asked ? <p className="dim">Choose models, and what the merge will do shows here.</p> : null}
        {problems.length === 0 ? null : <Problems problems={problems} />}
        {plan === null ? null : <Facts plan={plan} />}
      </div>
    </Section>
  );
}

function Problems({ problems }: { problems: readonly FieldError[] }) {
  return (
    <>
      <p className="wrong">{showCount(problems.length, 'problem')}</p>
      <ul className="plain problems">
        {problems.map(({ pointer, detail }) => (
          <li key={`${pointer} ${detail}`}>
            <button type="button" className="problem" onClick={() => goTo(pointer)}>
              {pointer === '' ? null : <code>{pointer.replace(/^\/recipe/, '') || '/'}</code>} {detail}
            </button>
          </li>
        ))}
      </ul>
    </>
  );
}

function Facts({ plan }: { plan: Plan }) {
  const { tensors, parameters, bytes_read, bytes_written, memory_bytes, seconds, tuning, files, warnings } = plan;
  const rows: [string, string][] = [
    ['Merged', `${showCount(tensors.merged, 'tensor')}, ${showCount(parameters, 'element')}`],
    ['Copied', showCount(tensors.copied, 'tensor')],
    ['Reads', showBytes(bytes_read)],
    ['Writes', `${showBytes(bytes_written)} in ${showCount(files.length, 'file')}`],
    ['Memory', `at most ${showBytes(memory_bytes)}`],
    ['Time', `about ${showSeconds(seconds)}${tuning === undefined ? '' : ', and the tuning'}`],
  ];
  if (tensors.heads > 0) rows.splice(2, 0, ['Heads', showCount(tensors.heads, 'tensor')]);
  if (tuning !== undefined) {
    rows.push(['Learns', `${showCount(tuning.coefficients, 'coefficient')} in ${showCount(tuning.steps, 'step')}`]);
    rows.push(['On disk', `${showBytes(tuning.task_vector_bytes)} meanwhile`]);
  }
  return (
    <>
      <p className="fine">
        <span aria-hidden="true">●</span> This can be merged.
      </p>
      <dl className="plan-facts">
        {rows.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      {warnings.length === 0 ? null : (
        <details className="note warn" open={warnings.length <= 2}>
          <summary>{showCount(warnings.length, 'warning')}</summary>
          <ul>
            {warnings.map((warning) => (
              <li key={warning}>{warning}</li>
            ))}
          </ul>
        </details>
      )}
      <details>
        <summary>Files</summary>
        <Scroll label="Files of the result" tall>
          <ul className="plain">
            {files.map(({ path, bytes, tensors: count }) => (
              <li key={path}>
                <code>{path}</code>{' '}
                <span className="dim">
                  {showBytes(bytes)}
                  {count === 0 ? '' : `, ${showCount(count, 'tensor')}`}
                </span>
              </li>
            ))}
          </ul>
        </Scroll>
      </details>
    </>
  );
}

/** What the result can be written as. */
export const DTYPES = Object.keys(OUT_DTYPES);
