import type { Report } from '@amalgam/contracts';
import { showCount, showNumber, showShare } from '../format.js';
import { ScrollTable } from '../parts/scroll-table.js';
import { Section } from '../parts/section.js';
import { ShareBar } from './layer-shares.js';

/** What a result that is a LoRA adapter consists of, and how much of what it stands for its rank keeps. */
export function AdapterSummary({ adapter }: { adapter: NonNullable<Report['adapter']> }) {
  const { modules, kept } = adapter;
  const ranks = [...new Set(modules.map(({ rank }) => rank))].sort((a, b) => a - b);
  const some = modules.some((module) => module.kept !== undefined);
  const norms = modules.some((module) => module.norm !== undefined);
  const columns = ['Module', 'Rank', ...(some ? ['Kept'] : []), ...(norms ? ['Norm'] : [])];
  return (
    <Section
      title="LoRA adapter"
      aside={kept === undefined ? null : <span>{showShare(kept)} of the squared norm kept</span>}
    >
      <p>
        {showCount(modules.length, 'module')}, rank{' '}
        {ranks.length > 2 ? `${ranks[0]} to ${ranks.at(-1)}` : ranks.join(' or ')}
      </p>
      <ScrollTable label="Modules of the adapter" columns={columns} tall>
        {modules.map((module) => (
          <tr key={module.name}>
            <th scope="row">
              <code>{module.name}</code>
            </th>
            <td>{module.rank}</td>
            {some ? <td>{module.kept === undefined ? '–' : <ShareBar kind="merged" share={module.kept} />}</td> : null}
            {norms ? <td>{module.norm === undefined ? '–' : showNumber(module.norm)}</td> : null}
          </tr>
        ))}
      </ScrollTable>
    </Section>
  );
}
