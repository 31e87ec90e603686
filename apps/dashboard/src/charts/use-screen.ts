import { type RefObject, useEffect, useRef, useState, useSyncExternalStore } from 'react';

/** The width of an element in CSS pixels, as it changes; 0 before it is laid out. */
export function useWidth<T extends HTMLElement>(): [RefObject<T | null>, number] {
  const element = useRef<T>(null);
  const [width, setWidth] = useState(0);
  useEffect(() => {
    if (element.current === null) return;
    const observer = new ResizeObserver(([entry]) => setWidth(Math.floor(entry?.contentRect.width ?? 0)));
    observer.observe(element.current);
    return () => observer.disconnect();
  }, []);
  return [element, width];
}

const scheme = matchMedia('(prefers-color-scheme: dark)');

export function useDark(): boolean {
  return useSyncExternalStore(
    (changed) => {
      scheme.addEventListener('change', changed);
      return () => scheme.removeEventListener('change', changed);
    },
    () => scheme.matches,
  );
}
