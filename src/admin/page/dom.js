// Elements, words and numbers. Data always becomes text here, never HTML: observations and rules may come from anyone.

const SVG = 'http://www.w3.org/2000/svg';

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? '' : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** An element; children that are strings become text. */
export const el = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
export const svg = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);
export const byId = (id) => document.getElementById(id);

/** Sets a text only where it differs, so that nothing is laid out or announced for no reason. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat('en', { notation: 'compact', maximumSignificantDigits: 3 });
const tenth = new Intl.NumberFormat('en', { minimumFractionDigits: 1, maximumFractionDigits: 1 });

const known = (value) => typeof value === 'number' && Number.isFinite(value);

export const count = (value) => (known(value) ? whole.format(value) : '–');
export const brief = (value) => (known(value) ? (Math.abs(value) < 10_000 ? whole.format(value) : short.format(value).replace('K', 'k')) : '–');
export const plural = (value, one, many = `${one}s`) => `${count(value)} ${value === 1 ? one : many}`;

export function rate(value) {
  if (!known(value)) return '–';
  return value > 0 && value < 100 ? tenth.format(value) : brief(value);
}

const SPANS = [[86_400, 'd'], [3_600, 'h'], [60, 'min'], [1, 's']];

/** 90 → "1 min"; below ten seconds with a tenth, if asked. */
export function span(seconds, fine = false) {
  if (!known(seconds)) return '–';
  if (fine && seconds < 10) return `${tenth.format(seconds)} s`;
  const [size, name] = SPANS.find(([least]) => seconds >= least) ?? [1, 's'];
  return `${whole.format(Math.floor(seconds / size))} ${name}`;
}

let clockAhead = 0;
/** The daemon's clock counts: a browser's may be off by hours. */
export function setClock(serverNow) {
  if (known(serverNow)) clockAhead = serverNow - Date.now();
}
export const now = () => Date.now() + clockAhead;

export function ago(timestamp) {
  const seconds = (now() - timestamp) / 1000;
  return seconds < 2 ? 'now' : `${span(seconds)} ago`;
}

function stamp(timestamp) {
  const date = new Date(timestamp);
  return Number.isNaN(date.getTime()) ? null : date.toISOString();
}

/** A time that tickTimes keeps up to date. */
export function timeOf(timestamp) {
  const text = stamp(timestamp);
  if (!text) return el('span', {}, '–');
  return el('time', { datetime: text, title: text.replace('T', ' ').replace(/\..*/, ' UTC'), 'data-ms': timestamp }, ago(timestamp));
}

export function tickTimes() {
  for (const node of document.querySelectorAll('time[data-ms]')) setText(node, ago(Number(node.dataset.ms)));
}

/** "2016-02-24T00:00:00" → "2016-02-24" */
export const day = (date) => String(date ?? '').slice(0, 10);

const reduced = matchMedia('(prefers-reduced-motion: reduce)');
export const calm = () => reduced.matches;

/** One tooltip for the whole page, next to the point (x, y) of the window. */
export function showTip(children, x, y) {
  const tip = byId('tip');
  tip.replaceChildren(...children);
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  const left = x + 14 + width > innerWidth - 8 ? x - width - 14 : x + 14;
  const top = y + 14 + height > innerHeight - 8 ? y - height - 14 : y + 14;
  tip.style.transform = `translate(${Math.round(Math.max(8, left))}px, ${Math.round(Math.max(8, top))}px)`;
}

export function hideTip() {
  byId('tip').hidden = true;
}

let saidAt = 0;
let waiting = null;
const SAY_EVERY_MS = 10_000;

/** Announces a text to screen readers, at most once in ten seconds; of several texts in that time, the newest is announced. */
export function say(text) {
  clearTimeout(waiting);
  const announce = () => {
    saidAt = Date.now();
    byId('said').textContent = typeof text === 'function' ? text() : text;
  };
  waiting = setTimeout(announce, Math.max(0, saidAt + SAY_EVERY_MS - Date.now()));
}
