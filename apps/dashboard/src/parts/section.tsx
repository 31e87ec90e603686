import { type ReactNode, useEffect, useId, useRef } from 'react';

/** A titled part of a page; `aside` stands at the other end of the title's line. */
export function Section({ title, aside, children }: { title: string; aside?: ReactNode; children: ReactNode }) {
  const id = useId();
  return (
    <section className="card" aria-labelledby={id}>
      <div className="card-head">
        <h2 id={id}>{title}</h2>
        {aside}
      </div>
      {children}
    </section>
  );
}

/** What scrolls by itself where there is less room than it needs. The keyboard stops at it then, and only then. */
export function Scroll({ label, tall = false, children }: { label: string; tall?: boolean; children: ReactNode }) {
  const element = useRef<HTMLElement>(null);
  useEffect(() => {
    const box = element.current;
    if (box === null) return;
    const observer = new ResizeObserver(() => {
      box.tabIndex = box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight ? 0 : -1;
    });
    for (const watched of [box, ...box.children]) observer.observe(watched);
    return () => observer.disconnect();
  }, []);
  return (
    <section className={tall ? 'scroll tall' : 'scroll'} aria-label={label} ref={element}>
      {children}
    </section>
  );
}
