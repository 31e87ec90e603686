import { showSeconds } from '../format.js';
import { useNow } from '../parts/time.js';
import type { StageSpan } from './run.js';

/** The stages of the current try, each as wide as it was long. */
export function Timeline({ spans }: { spans: readonly StageSpan[] }) {
  const now = useNow();
  const timed = spans.map((span) => ({ ...span, seconds: Math.max(0, (span.to ?? now) - span.from) / 1000 }));
  return (
    <ol className="timeline">
      {timed.map(({ stage, from, to, seconds }) => (
        // Grows with the time, and never too small for its name.
        <li key={`${stage} ${from}`} className={to === null ? 'now' : ''} style={{ flexGrow: seconds }}>
          <span className={`stage-bar ${stage}`} />
          <span className="stage-name">{stage}</span>{' '}
          <span className="stage-time">{showSeconds(to === null ? Math.round(seconds) : seconds)}</span>
        </li>
      ))}
    </ol>
  );
}
