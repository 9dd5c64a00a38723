// Degrees and heights in the reader's units, and times in the reader's time zone.

import { count } from './dom.js';

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

// Where weather is given in degrees Fahrenheit, as the Unicode CLDR's unit preferences have it.
const FAHRENHEIT_REGIONS = new Set(['US', 'BS', 'BZ', 'KY', 'PR', 'PW']);

/** The unit of a reader whose browser has this language, such as en-US. */
export function unitFor(language) {
  try { return FAHRENHEIT_REGIONS.has(new Intl.Locale(language).region) ? 'F' : 'C'; } catch { return 'C'; }
}

let unit = { C: 'C', F: 'F' }[kept(UNIT_KEY)] ?? unitFor(navigator.language);

export const unitOf = () => unit;

const listeners = [];

/** Has `act` called after each change of the unit. */
export const onUnit = (act) => { listeners.push(act); };

export function setUnit(wanted) {
  unit = wanted === 'F' ? 'F' : 'C';
  keep(UNIT_KEY, unit);
  for (const act of listeners) act();
}

const isKnown = (value) => typeof value === 'number' && Number.isFinite(value);
export const fromCelsius = (celsius) => (unit === 'F' ? celsius * 1.8 + 32 : celsius);
export const toCelsius = (value) => (unit === 'F' ? (value - 32) / 1.8 : value);

/** A limit as it is compared: to a tenth of a degree Celsius, as stations report and as rules round it. */
export const toTenth = (celsius) => Math.round(celsius * 10) / 10;

/** −2 → "−2.0", without its unit. */
export function number(celsius) {
  if (!isKnown(celsius)) return '–';
  const value = fromCelsius(celsius);
  return tenth.format(Math.abs(value) < 0.05 ? 0 : value).replace('-', '−');
}

export const temperature = (celsius) => (isKnown(celsius) ? `${number(celsius)} °${unit}` : '–');

const hundredth = new Intl.NumberFormat('en', { minimumFractionDigits: 2, maximumFractionDigits: 2 });

/** How far two temperatures are apart, given in kelvins: 1.81 → "1.81 °C". */
export function difference(kelvins) {
  if (!isKnown(kelvins)) return '–';
  return `${hundredth.format(unit === 'F' ? kelvins * 1.8 : kelvins).replace('-', '−')} °${unit}`;
}

/** A height above the sea: 1,234 m, or in feet next to degrees Fahrenheit. */
export function height(metres) {
  if (!isKnown(metres)) return '–';
  return unit === 'F' ? `${count(metres / 0.3048)} ft` : `${count(metres)} m`;
}

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
