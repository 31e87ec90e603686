import { useEffect, useRef, useSyncExternalStore } from 'react';
import { client } from '../api.js';
import { Feed, type FeedState, type News } from './feed.js';

/** The page's one stream; what stands around the pages starts it. */
export const feed = new Feed(client);

export function useFeedState(): FeedState {
  return useSyncExternalStore(
    (changed) => feed.watch(changed),
    () => feed.state,
  );
}

/** Calls `read` with all news while the component is there. */
export function useNews(read: (news: News) => void): void {
  const current = useRef(read);
  current.current = read;
  useEffect(() => feed.subscribe((news) => current.current(news)), []);
}

/** True for news that changes more than how far something is. */
export function isMoreThanProgress({ events }: News): boolean {
  return events.some(({ type }) => type !== 'merge.progress');
}
