// Degrees in the reader's unit, and times in the reader's time zone.

const UNIT_KEY = 'frostline-unit';
const tenth = new Intl.NumberFormat('en', { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat('en', { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
const dayAndClock = new Intl.DateTimeFormat('en', { year: 'numeric', month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
const DAY_MS = 86_400_000;

/** What was kept from the last visit, where the browser keeps anything. */
export function kept(key) {
  try { return localStorage.getItem(key); } catch { return null; }
}

export function keep(key, value) {
  try { localStorage.setItem(key, value); } catch { /* It holds until the page is left. */ }
}

let unit = kept(UNIT_KEY) === 'F' ? 'F' : 'C';

export const unitOf = () => unit;

export function setUnit(wanted) {
  unit = wanted === 'F' ? 'F' : 'C';
  keep(UNIT_KEY, unit);
}

const isKnown = (value) => typeof value === 'number' && Number.isFinite(value);
export const fromCelsius = (celsius) => (unit === 'F' ? celsius * 1.8 + 32 : celsius);
export const toCelsius = (value) => (unit === 'F' ? (value - 32) / 1.8 : value);

/** −2 → "−2.0", without its unit. */
export function number(celsius) {
  if (!isKnown(celsius)) return '–';
  const value = fromCelsius(celsius);
  return tenth.format(Math.abs(value) < 0.05 ? 0 : value).replace('-', '−');
}

export const temperature = (celsius) => (isKnown(celsius) ? `${number(celsius)} °${unit}` : '–');

/** 0.617 → "62 %" */
export function percent(chance) {
  if (!isKnown(chance)) return 'unknown';
  if (chance > 0 && chance < 0.01) return 'less than 1 %';
  if (chance < 1 && chance > 0.99) return 'more than 99 %';
  return `${Math.round(chance * 100)} %`;
}

export const clockTime = (at) => (Number.isFinite(at) ? clock.format(at) : '–');

/** The clock time, with the date where that is not about now. */
export function when(at, now) {
  if (!Number.isFinite(at)) return '–';
  return Math.abs(at - now) < DAY_MS * 0.8 ? clock.format(at) : dayAndClock.format(at);
}

export const timeZone = () => Intl.DateTimeFormat().resolvedOptions().timeZone;
