// A station's night as a curve: what was observed, what is expected with its band, the limit and when it is crossed, and
// the same in words and as a table. Times are the reader's.

import { chance, crossing, hasTable, quantile } from './distribution.js';
import { el, span, svg } from './dom.js';
import {
  clockTime, fromCelsius, number, percent, temperature, timeZone, toCelsius, toTenth, unitOf, when,
} from './units.js';

const HEIGHT = 220;
const EDGE = { top: 22, right: 16, bottom: 24, left: 36 };
const HOUR_MS = 3_600_000;
// The curve begins in the afternoon.
const BEFORE_SUNSET_MS = 4 * HOUR_MS;
// A longer time without an observation is a gap in the line.
const GAP_MS = 2.5 * HOUR_MS;

// The minute is not known.
const ABOUT_MS = 10 * 60_000;
const about = (at) => `about ${clockTime(Math.round(at / ABOUT_MS) * ABOUT_MS)}`;

const isKnown = (value) => typeof value === 'number' && Number.isFinite(value);

/** The answer of /outlooks/STATION with its times as numbers, or null. */
function read(data) {
  const time = Date.parse(data?.time);
  if (!Number.isFinite(time)) return null;
  const points = (Array.isArray(data.points) ? data.points : [])
    .map((point) => ({ at: Date.parse(point.time), value: point.temperature_c }))
    .filter(({ at, value }) => Number.isFinite(at) && isKnown(value));
  const known = hasTable(data.expected) ? data.expected : null;
  const night = known && { begins: Date.parse(known.night?.begins), sunrise: Date.parse(known.night?.sunrise), ends: Date.parse(known.night?.ends) };
  const expected = night && Object.values(night).every(Number.isFinite) ? known : null;
  const curve = (Array.isArray(expected?.curve) ? expected.curve : [])
    .map((point) => ({ at: Date.parse(point.time), low: point.p10_c, value: point.p50_c, high: point.p90_c }))
    .filter(({ at, low, value, high }) => Number.isFinite(at) && [low, value, high].every(isKnown));
  return { time, now: Date.parse(data.as_of), state: data.state, age: data.age_seconds, points, expected, night, curve };
}

// ---- in words -----------------------------------------------------------------------------------------------------

/** Whether the limit has been reached in this night. */
const hasBeen = ({ lowest_so_far_c: lowest }, limit) => isKnown(lowest) && lowest <= toTenth(limit);

function chanceInWords({ expected, time }, limit) {
  if (hasBeen(expected, limit)) return `It has been ${temperature(limit)} or less tonight`;
  const lowest = `lowest ${temperature(quantile(expected, 0.5))} (${number(quantile(expected, 0.1))} to ${number(quantile(expected, 0.9))})`;
  const at = Date.parse(expected.lowest_at);
  return `${percent(chance(expected, toTenth(limit)))} for ${temperature(limit)} or less; ${lowest}${Number.isFinite(at) ? ` ${at <= time ? `at ${clockTime(at)}` : about(at)}` : ''}`;
}

/** When the limit is crossed: on the middle of the outlook, or at least on its cold side. */
function crossingOf({ expected, time }, limit) {
  if (hasBeen(expected, limit)) return null;
  const middle = crossing(expected, toTenth(limit), time);
  if (middle !== null) return { at: middle, isMiddle: true };
  const cold = crossing(expected, toTenth(limit), time, 0.1);
  return cold === null ? null : { at: cold, isMiddle: false };
}

function crossingInWords(night, limit) {
  const { expected } = night;
  if (hasBeen(expected, limit)) return `The lowest so far was ${temperature(expected.lowest_so_far_c)}.`;
  const found = crossingOf(night, limit);
  if (!found) return `${temperature(limit)} is not reached, even on the cold side of the band.`;
  if (found.at <= night.time) return `It is ${temperature(limit)} or less now.`;
  return found.isMiddle
    ? `${temperature(limit)} is expected ${about(found.at)}.`
    : `${temperature(limit)} is expected only on the cold side of the band, ${about(found.at)}.`;
}

/** Sentences, the most important first. The night of a silent station is unknown, even if there was an outlook. */
function sentences(night, limit) {
  const { state, expected, time, now, age } = night;
  if (state === 'silent') {
    const before = expected ? [`Before that: ${chanceInWords(night, limit)}.`] : [];
    return [`Unknown: no observation since ${when(time, now)} (${span(age)}).`, ...before];
  }
  if (!expected || state !== 'expected') return ['No outlook yet: outlooks for a night start at 15:00 local standard time.'];
  return [`${chanceInWords(night, limit)}.`, crossingInWords(night, limit)];
}

// ---- as a picture ---------------------------------------------------------------------------------------------------

function scalesOf({ points, curve, night, time }, limit, width) {
  const first = night ? night.begins - BEFORE_SUNSET_MS : (points[0]?.at ?? time) - HOUR_MS;
  const last = Math.max(night?.ends ?? 0, time + HOUR_MS);
  const shown = points.filter(({ at }) => at >= first);
  const values = [limit, ...shown.map(({ value }) => value), ...curve.flatMap(({ low, high }) => [low, high])];
  const [low, high] = [Math.min(...values) - 1.5, Math.max(...values) + 1.5];
  return {
    first, last, low, high, shown, width,
    x: (at) => EDGE.left + ((at - first) / (last - first)) * (width - EDGE.left - EDGE.right),
    y: (value) => EDGE.top + ((high - value) / (high - low)) * (HEIGHT - EDGE.top - EDGE.bottom),
  };
}

/** The dark hours, with the times of sunset and sunrise. */
function darkness(night, scale) {
  if (!night) return [];
  const [from, to] = [scale.x(night.begins), scale.x(night.sunrise)];
  const top = EDGE.top - 4;
  return [
    svg('rect', { class: 'dark-hours', x: from, y: top, width: Math.max(0, to - from), height: HEIGHT - EDGE.bottom - top }),
    svg('text', { class: 'axis middle', x: from, y: 12 }, `sunset ${clockTime(night.begins)}`),
    svg('text', { class: 'axis end', x: Math.min(scale.width - 2, to + 42), y: 12 }, `sunrise ${clockTime(night.sunrise)}`),
  ];
}

function axesOf(scale) {
  const right = scale.width - EDGE.right;
  const [low, high] = [fromCelsius(scale.low), fromCelsius(scale.high)];
  const step = [1, 2, 5, 10, 20].find((size) => (high - low) / size <= 6) ?? 50;
  const marks = [];
  for (let tick = Math.ceil(low / step) * step; tick <= high; tick += step) {
    const y = scale.y(toCelsius(tick));
    marks.push(svg('line', { class: 'grid', x1: EDGE.left, x2: right, y1: y, y2: y }), svg('text', { class: 'axis end', x: EDGE.left - 6, y: y + 3.5 }, String(tick).replace('-', '−')));
  }
  const every = scale.width < 330 ? 6 : 3;
  const at = new Date(scale.first);
  at.setMinutes(0, 0, 0);
  while (at.getTime() < scale.first || at.getHours() % every !== 0) at.setHours(at.getHours() + 1);
  for (; at.getTime() <= scale.last; at.setHours(at.getHours() + every)) {
    const x = scale.x(at.getTime());
    marks.push(svg('line', { class: 'grid', x1: x, x2: x, y1: HEIGHT - EDGE.bottom, y2: HEIGHT - EDGE.bottom + 4 }), svg('text', { class: 'axis middle', x, y: HEIGHT - 6 }, clockTime(at.getTime())));
  }
  return marks;
}

const path = (entries, scale, key) => entries.map((entry, index) => `${index ? 'L' : 'M'}${scale.x(entry.at).toFixed(1)} ${scale.y(entry[key]).toFixed(1)}`).join('');

function observedLine(scale) {
  const parts = [];
  let previous = -Infinity;
  for (const point of scale.shown) {
    if (point.at - previous > GAP_MS) parts.push([]);
    parts.at(-1).push(point);
    previous = point.at;
  }
  return parts.map((part) => svg('path', { class: 'line observed', d: path(part.length > 1 ? part : [part[0], part[0]], scale, 'value') }));
}

function expectedLines({ expected, curve, time }, scale) {
  if (!curve.length || !isKnown(expected?.temperature_c)) return [];
  const start = { at: time, low: expected.temperature_c, value: expected.temperature_c, high: expected.temperature_c };
  const all = [start, ...curve];
  const back = path([...all].reverse(), scale, 'low').replace('M', 'L');
  return [
    svg('path', { class: 'band expected', d: `${path(all, scale, 'high')}${back}Z` }),
    svg('path', { class: 'line expected', d: path(all, scale, 'value') }),
  ];
}

function limitLine(limit, scale) {
  const y = scale.y(limit);
  return [
    svg('line', { class: 'limit', x1: EDGE.left, x2: scale.width - EDGE.right, y1: y, y2: y }),
    svg('text', { class: 'limit-name end', x: scale.width - EDGE.right - 2, y: y - 4 }, temperature(limit)),
  ];
}

function crossingMark(night, limit, scale) {
  const found = night.state === 'expected' && night.expected ? crossingOf(night, limit) : null;
  if (!found || found.at <= night.time) return [];
  const [x, y] = [scale.x(found.at), scale.y(limit)];
  return [
    svg('line', { class: 'crossing', x1: x, x2: x, y1: EDGE.top, y2: HEIGHT - EDGE.bottom }),
    svg('circle', { class: 'crossing-dot', cx: x, cy: y, r: 4, 'data-at': Math.round(found.at) }),
    svg('text', { class: 'limit-name', x: x + 5, y: EDGE.top + 10 }, about(found.at)),
  ];
}

function picture(night, limit, width, label) {
  const scale = scalesOf(night, limit, width);
  const node = svg('svg', { class: `chart night ${night.state}`, viewBox: `0 0 ${width} ${HEIGHT}`, role: 'img', 'aria-label': label });
  node.append(...darkness(night.night, scale), ...axesOf(scale), ...expectedLines(night, scale), ...limitLine(limit, scale), ...crossingMark(night, limit, scale), ...observedLine(scale));
  return node;
}

function values(night) {
  const row = (name, cells) => el('tr', {}, el('th', { scope: 'row' }, name), ...cells.map((cell) => el('td', {}, cell)));
  const observed = night.points.map(({ at, value }) => row(when(at, night.now), [number(value), '']));
  const expected = night.curve.map(({ at, low, value, high }) => row(when(at, night.now), [number(value), `${number(low)} to ${number(high)}`]));
  return el('details', { class: 'values' },
    el('summary', {}, 'The night as a table'),
    el('table', {},
      el('thead', {}, el('tr', {}, ...['Time', `°${unitOf()}`, '10 to 90 %'].map((name) => el('th', { scope: 'col' }, name)))),
      el('tbody', {}, ...observed, ...expected)));
}

/** The night of one station for a limit in °C; null where nothing of it is known. */
export function nightOf(data, limit, width) {
  const night = read(data);
  if (!night) return null;
  const [first, ...rest] = sentences(night, limit);
  return el('section', { class: 'night-box', 'aria-label': 'The coming night' },
    el('h4', {}, night.state === 'silent' ? 'The night so far' : 'Tonight'),
    el('p', { class: `night-words ${night.state}` }, first),
    ...rest.map((words) => el('p', { class: 'soft' }, words)),
    night.points.length ? picture(night, limit, width, [first, ...rest].join(' ')) : null,
    el('p', { class: 'key night-key', 'aria-hidden': 'true' },
      el('span', {}, el('i', { class: 'line-sample observed' }), 'observed'),
      night.curve.length ? el('span', {}, el('i', { class: 'line-sample expected' }), 'expected, 10 to 90 %') : null,
      el('span', {}, el('i', { class: 'line-sample limit' }), 'limit')),
    el('p', { class: 'soft small-print' }, `Times in ${timeZone()}. ${night.expected ? `Learned from ${night.expected.nights} nights of this station.` : ''}`),
    values(night));
}
