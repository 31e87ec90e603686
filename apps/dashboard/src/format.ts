/** 1536 is `1.54 kB`: powers of 1000, three digits. */
export function showBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 ? value : Number(value.toPrecision(3))} ${units[unit]}`;
}

/** 0.234 is `0.23 s`, 75 is `1 min 15 s`, 7260 is `2 h 1 min`. */
export function showSeconds(seconds: number): string {
  if (seconds < 10) return `${Number(seconds.toFixed(seconds < 1 ? 2 : 1))} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return joined(Math.floor(whole / 60), 'min', whole % 60, 's');
  const minutes = Math.round(whole / 60);
  if (minutes < 24 * 60) return joined(Math.floor(minutes / 60), 'h', minutes % 60, 'min');
  const hours = Math.round(minutes / 60);
  return joined(Math.floor(hours / 24), 'd', hours % 24, 'h');
}

function joined(large: number, largeUnit: string, small: number, smallUnit: string): string {
  return small === 0 ? `${large} ${largeUnit}` : `${large} ${largeUnit} ${small} ${smallUnit}`;
}

const PLAIN = new Intl.NumberFormat('en', { maximumSignificantDigits: 4 });

/** Four digits; very small and very large ones as powers of ten. */
export function showNumber(value: number): string {
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e7)) return value.toExponential(2).replace('e+', 'e');
  return PLAIN.format(value);
}

/** A share of one, as per cent with one digit. */
export function showShare(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}

export function showCount(count: number, noun: string): string {
  return `${new Intl.NumberFormat('en').format(count)} ${noun}${count === 1 ? '' : 's'}`;
}

/** `5 s ago`, `in 3 min`: how long before or after `now`, both in milliseconds. */
export function showRelative(time: number, now: number): string {
  const seconds = Math.round((now - time) / 1000);
  if (Math.abs(seconds) < 2) return 'just now';
  const text = coarse(Math.abs(seconds));
  return seconds < 0 ? `in ${text}` : `${text} ago`;
}

function coarse(seconds: number): string {
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 48 * 3600) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86_400)} days`;
}

/** Seconds from one time to another, `now` for one that has not come; null when it has not begun. */
export function secondsBetween(from: string | null, to: string | null, now: number): number | null {
  if (from === null) return null;
  return Math.max(0, (to === null ? now : Date.parse(to)) - Date.parse(from)) / 1000;
}
