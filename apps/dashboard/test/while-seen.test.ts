import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { whileSeen } from '../src/live/while-seen.js';

describe('what a page does while it is seen', () => {
  const page = Object.assign(new EventTarget(), { visibilityState: 'visible' });
  const turn = (state: 'visible' | 'hidden') => {
    page.visibilityState = state;
    page.dispatchEvent(new Event('visibilitychange'));
  };
  const signals: AbortSignal[] = [];
  let end: () => void;
  beforeEach(() => {
    vi.useFakeTimers();
    vi.stubGlobal('document', page);
    turn('visible');
    signals.length = 0;
    end = whileSeen((signal) => signals.push(signal));
  });
  afterEach(() => {
    end();
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });
  const running = () => signals.filter(({ aborted }) => !aborted).length;

  it('goes on for a minute after somebody looks away, and then ends', () => {
    turn('hidden');
    vi.advanceTimersByTime(59_000);
    expect(running()).toBe(1);
    vi.advanceTimersByTime(1_000);
    expect(running()).toBe(0);
    expect(signals).toHaveLength(1);
  });

  it('begins anew when somebody looks again, but once', () => {
    turn('hidden');
    vi.advanceTimersByTime(30_000);
    turn('visible');
    vi.advanceTimersByTime(90_000);
    expect(signals).toHaveLength(1);
    expect(running()).toBe(1);
    turn('hidden');
    vi.advanceTimersByTime(60_000);
    turn('visible');
    turn('visible');
    expect(signals).toHaveLength(2);
    expect(running()).toBe(1);
  });

  it('is over when nobody wants it any more', () => {
    end();
    expect(running()).toBe(0);
    turn('hidden');
    turn('visible');
    expect(signals).toHaveLength(1);
  });

  it('waits for the first look at a page that was opened in the background', () => {
    end();
    turn('hidden');
    signals.length = 0;
    end = whileSeen((signal) => signals.push(signal));
    expect(signals).toHaveLength(0);
    turn('visible');
    expect(running()).toBe(1);
  });
});
