import { useFeedState } from './use-feed.js';

const WORDS = { connecting: '', live: 'Live', reconnecting: 'Reconnecting…', off: '' };
const WHY = {
  connecting: undefined,
  live: 'What happens shows by itself',
  reconnecting: 'The stream of events is lost; until it is back, pages ask every few seconds',
  off: undefined,
};

/** Whether what happens is told. */
export function FeedStateNote() {
  const state = useFeedState();
  return (
    <span role="status" className={`feed ${state}`} title={WHY[state]}>
      {WORDS[state]}
    </span>
  );
}
