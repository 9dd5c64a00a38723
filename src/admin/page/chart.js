// A station's last 30 days as a chart: TMIN and TMAX as lines with the day's range between, the freezing point, and
// the same values as a table.

import { day, el, plural, setText, svg } from './dom.js';
import { fromCelsius, temperature, toCelsius, unitOf } from './units.js';

const HEIGHT = 190;
const EDGE = { top: 14, right: 44, bottom: 24, left: 36 };
const DAY_MS = 86_400_000;
const SERIES = [['TMAX', 'warm'], ['TMIN', 'cold']];

const isKnown = (value) => typeof value === 'number' && Number.isFinite(value);
const shortDate = new Intl.DateTimeFormat('en', { day: 'numeric', month: 'short', timeZone: 'UTC' });
const atOf = (date) => Date.parse(`${day(date)}T00:00:00Z`);

function usable(days) {
  return (Array.isArray(days) ? days : [])
    .map((entry) => ({ ...entry, at: atOf(entry.date) }))
    .filter((entry) => Number.isFinite(entry.at) && (isKnown(entry.TMIN) || isKnown(entry.TMAX)))
    .slice(-60);
}

/** Steps of 1, 2 or 5 that give about four lines. */
function ticksBetween(low, high) {
  const rough = (high - low) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  const ticks = [];
  for (let tick = Math.ceil(low / step) * step; tick <= high; tick += step) ticks.push(tick);
  return ticks;
}

function scales(days, width) {
  const values = days.flatMap(({ TMIN, TMAX }) => [TMIN, TMAX]).filter(isKnown);
  // The frost line is always visible: it is the subject of the page.
  const low = Math.min(0, ...values) - 1.5;
  const high = Math.max(0, ...values) + 1.5;
  const [first, last] = [days[0].at, days.at(-1).at];
  const inner = width - EDGE.left - EDGE.right;
  return {
    low,
    high,
    x: (at) => EDGE.left + (last === first ? inner / 2 : ((at - first) / (last - first)) * inner),
    y: (value) => EDGE.top + ((high - value) / (high - low)) * (HEIGHT - EDGE.top - EDGE.bottom),
  };
}

/** Runs of neighbouring days that have all of the elements: a missing day is a gap, not a slope. */
function runs(days, ...elements) {
  const all = [];
  let previous = -Infinity;
  for (const entry of days) {
    if (!elements.every((name) => isKnown(entry[name]))) continue;
    if (entry.at - previous > DAY_MS * 1.5) all.push([]);
    all.at(-1).push(entry);
    previous = entry.at;
  }
  return all;
}

function axes(days, width, scale) {
  const right = width - EDGE.right;
  const marks = ticksBetween(fromCelsius(scale.low), fromCelsius(scale.high)).flatMap((tick) => {
    const y = scale.y(toCelsius(tick));
    return [
      svg('line', { class: 'grid', x1: EDGE.left, x2: right, y1: y, y2: y }),
      svg('text', { class: 'axis end', x: EDGE.left - 6, y: y + 3.5 }, String(tick).replace('-', '−')),
    ];
  });
  const every = Math.max(1, Math.ceil(days.length / Math.max(2, Math.floor((right - EDGE.left) / 62))));
  const dates = days.filter((_, index) => index % every === 0).map((entry) => svg('text', { class: 'axis middle', x: scale.x(entry.at), y: HEIGHT - 6 }, shortDate.format(entry.at)));
  return [...marks, ...dates];
}

function frostLine(width, scale) {
  const y = scale.y(0);
  return [
    svg('line', { class: 'frost', x1: EDGE.left, x2: width - EDGE.right, y1: y, y2: y }),
    svg('text', { class: 'frost-name', x: width - EDGE.right + 5, y: y + 3.5 }, `${fromCelsius(0)} °${unitOf()}`),
  ];
}

const pathOf = (entries, x, y) => entries.map((entry, index) => `${index ? 'L' : 'M'}${x(entry).toFixed(1)} ${y(entry).toFixed(1)}`).join('');

function bands(days, scale) {
  const x = (entry) => scale.x(entry.at);
  return runs(days, 'TMIN', 'TMAX').map((run) => {
    const upper = pathOf(run, x, (entry) => scale.y(entry.TMAX));
    const lower = pathOf([...run].reverse(), x, (entry) => scale.y(entry.TMIN)).replace('M', 'L');
    return svg('path', { class: 'band', d: `${upper}${lower}Z` });
  });
}

function lines(days, scale, name, look) {
  const x = (entry) => scale.x(entry.at);
  const y = (entry) => scale.y(entry[name]);
  const parts = runs(days, name).map((run) => svg('path', { class: `line ${look}`, d: pathOf(run.length > 1 ? run : [run[0], run[0]], x, y) }));
  if (name === 'TMIN') {
    for (const entry of days) if (isKnown(entry.TMIN) && entry.TMIN < 0) parts.push(svg('circle', { class: 'below', cx: x(entry), cy: y(entry), r: 2.6 }));
  }
  return parts;
}

/** Names at the ends of the lines, kept apart from each other and from the freezing point's. */
function names(days, width, scale) {
  const taken = [scale.y(0)];
  return SERIES.map(([name, look]) => {
    const last = days.findLast((entry) => isKnown(entry[name]));
    if (!last) return null;
    let y = scale.y(last[name]);
    for (const other of taken) if (Math.abs(other - y) < 12) y = other + (y <= other && other - 12 > EDGE.top ? -12 : 12);
    taken.push(y);
    return svg('text', { class: `name ${look}`, x: width - EDGE.right + 5, y: y + 3.5 }, name);
  });
}

const inWords = (entry) => `${shortDate.format(entry.at)}: TMIN ${temperature(entry.TMIN)}, TMAX ${temperature(entry.TMAX)}`;

function summary(days) {
  const lows = days.map(({ TMIN }) => TMIN).filter(isKnown);
  if (!lows.length) return `${plural(days.length, 'day')}, none with a TMIN`;
  const frost = lows.filter((value) => value < 0).length;
  return `${plural(days.length, 'day')}, TMIN from ${temperature(Math.min(...lows))} to ${temperature(Math.max(...lows))}, ${plural(frost, 'day')} below freezing`;
}

/** A line that follows pointer and arrow keys, and shows the day's values. */
function cursor(picture, days, scale, readout) {
  const line = svg('line', { class: 'cursor', y1: EDGE.top, y2: HEIGHT - EDGE.bottom });
  const dots = SERIES.map(([name, look]) => [name, svg('circle', { class: `cursor-dot ${look}`, r: 3.6 })]);
  const group = svg('g', { class: 'cursor-group', visibility: 'hidden' }, line, ...dots.map(([, dot]) => dot));
  let current = days.length - 1;
  const show = (index) => {
    current = Math.min(days.length - 1, Math.max(0, index));
    const entry = days[current];
    const x = scale.x(entry.at);
    line.setAttribute('x1', x);
    line.setAttribute('x2', x);
    for (const [name, dot] of dots) {
      dot.setAttribute('cx', x);
      dot.setAttribute('cy', isKnown(entry[name]) ? scale.y(entry[name]) : -99);
    }
    group.setAttribute('visibility', 'visible');
    setText(readout, inWords(entry));
  };
  const rest = () => {
    group.setAttribute('visibility', 'hidden');
    setText(readout, summary(days));
  };
  picture.addEventListener('pointermove', (event) => {
    const box = picture.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * picture.viewBox.baseVal.width;
    const distances = days.map((entry) => Math.abs(scale.x(entry.at) - x));
    show(distances.indexOf(Math.min(...distances)));
  });
  picture.addEventListener('pointerleave', rest);
  picture.addEventListener('blur', rest);
  picture.addEventListener('keydown', (event) => {
    const to = { ArrowLeft: current - 1, ArrowRight: current + 1, Home: 0, End: days.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    show(to);
  });
  return group;
}

function table(days) {
  const rows = [...days].reverse().map((entry) => el('tr', {}, el('th', { scope: 'row' }, day(entry.date)), el('td', { class: isKnown(entry.TMIN) && entry.TMIN < 0 ? 'freezing' : null }, temperature(entry.TMIN)), el('td', {}, temperature(entry.TMAX))));
  return el('details', { class: 'values' },
    el('summary', {}, 'Values as a table'),
    el('table', {},
      el('thead', {}, el('tr', {}, ...['Date', 'TMIN', 'TMAX'].map((name) => el('th', { scope: 'col' }, name)))),
      el('tbody', {}, ...rows)));
}

/** The chart of [{date, TMIN, TMAX}, …] for a width in pixels. */
export function chartOf(observations, width) {
  const days = usable(observations);
  if (!days.length) return el('p', { class: 'empty small' }, 'No observations of this station yet.');
  const scale = scales(days, width);
  const readout = el('p', { class: 'readout', 'aria-live': 'polite' }, summary(days));
  const picture = svg('svg', { class: 'chart', viewBox: `0 0 ${width} ${HEIGHT}`, role: 'img', tabindex: 0, 'aria-label': `TMIN and TMAX: ${summary(days)}. Arrow keys move through the days.` });
  picture.append(
    ...axes(days, width, scale),
    ...bands(days, scale),
    ...frostLine(width, scale),
    ...SERIES.flatMap(([name, look]) => lines(days, scale, name, look)),
    ...names(days, width, scale).filter(Boolean),
    cursor(picture, days, scale, readout),
  );
  return el('div', { class: 'chart-box' }, readout, picture, table(days));
}
