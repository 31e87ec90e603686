/** A page that nobody has looked at for so long gives its connections back: browsers have six of them for all tabs. */
const UNSEEN_MS = 60_000;

/**
 * Calls `begin` when somebody looks at the page; its signal ends when nobody has for a minute, and `begin` is called anew when
 * somebody does again. Returns how to end all that.
 */
export function whileSeen(begin: (signal: AbortSignal) => void): () => void {
  let end: AbortController | undefined;
  let unseen: ReturnType<typeof setTimeout> | undefined;
  const stop = () => {
    end?.abort();
    end = undefined;
  };
  const onVisible = () => {
    clearTimeout(unseen);
    if (document.visibilityState !== 'visible') unseen = setTimeout(stop, UNSEEN_MS);
    else if (end === undefined) {
      end = new AbortController();
      begin(end.signal);
    }
  };
  onVisible();
  document.addEventListener('visibilitychange', onVisible);
  return () => {
    document.removeEventListener('visibilitychange', onVisible);
    clearTimeout(unseen);
    stop();
  };
}
