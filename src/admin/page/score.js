// Scores of the outlooks for the limit of the map, a reliability diagram, and the outcomes of each rule's warnings.

import { get } from './api.js';
import { byId, count, el, plural, setText, svg } from './dom.js';
import { difference, percent, temperature, toTenth } from './units.js';

const AGAIN_MS = 3_000;
const SOON_MS = 250;
const SIZE = 230;
const EDGE = { top: 8, right: 10, bottom: 34, left: 40 };
// Bins with fewer nights are uncertain: their points are hollow.
const NIGHTS_ENOUGH = 20;

const isKnown = (value) => typeof value === 'number' && Number.isFinite(value);
const digits = (value, places) => (isKnown(value) ? value.toFixed(places).replace('-', '−') : '–');

const x = (chance) => EDGE.left + chance * (SIZE - EDGE.left - EDGE.right);
const y = (share) => EDGE.top + (1 - share) * (SIZE - EDGE.top - EDGE.bottom);

function axes() {
  const marks = [0, 0.25, 0.5, 0.75, 1].flatMap((part) => [
    svg('line', { class: 'grid', x1: x(0), x2: x(1), y1: y(part), y2: y(part) }),
    svg('line', { class: 'grid', x1: x(part), x2: x(part), y1: y(0), y2: y(1) }),
    svg('text', { class: 'axis end', x: x(0) - 6, y: y(part) + 3.5 }, `${part * 100}`),
    svg('text', { class: 'axis middle', x: x(part), y: y(0) + 14 }, `${part * 100}`),
  ]);
  return [...marks, svg('text', { class: 'axis middle', x: x(0.5), y: SIZE - 4 }, 'chance given, %')];
}

/** Points on the diagonal are chances that came true as often as they said. */
function diagram(bins) {
  const inWords = bins.map(({ forecast, observed, nights }) => `${percent(forecast)}: ${percent(observed)} of ${plural(nights, 'night')}`);
  const node = svg('svg', { class: 'chart reliability', viewBox: `0 0 ${SIZE} ${SIZE}`, role: 'img', 'aria-label': `Chance given, and how often the limit was reached. ${inWords.join('; ')}` });
  const dots = bins.map((bin, at) => svg('circle', { class: bin.nights < NIGHTS_ENOUGH ? 'dot few' : 'dot', cx: x(bin.forecast), cy: y(bin.observed), r: Math.min(9, 3 + Math.log2(bin.nights + 1) * 0.7) }, svg('title', {}, inWords[at])));
  const line = bins.map(({ forecast, observed }, at) => `${at ? 'L' : 'M'}${x(forecast).toFixed(1)} ${y(observed).toFixed(1)}`).join('');
  node.append(...axes(), svg('line', { class: 'perfect', x1: x(0), y1: y(0), x2: x(1), y2: y(1) }), svg('path', { class: 'line observed', d: line }), ...dots);
  return node;
}

function table(caption, head, rows) {
  return el('table', {}, el('caption', { class: 'unseen' }, caption),
    el('thead', {}, el('tr', {}, ...head.map((name) => el('th', { scope: 'col' }, name)))),
    el('tbody', {}, ...rows.map(([name, ...cells]) => el('tr', {}, el('th', { scope: 'row' }, name), ...cells.map((cell) => el('td', {}, cell))))));
}

function sentences({ score, warn_from: from, issued, stations, first_night: first, last_night: last }, limit) {
  return [
    `${plural(score.nights, 'night')} at ${plural(stations, 'station')}, ${first} to ${last}, by the outlooks of ${issued} local standard time.`,
    score.frosts ? `${count(score.hits)} of ${plural(score.frosts, 'night')} with ${temperature(limit)} or less had a chance of ${percent(from)} or more.` : `No night had ${temperature(limit)} or less.`,
    score.hits + score.false_alarms ? `${count(score.false_alarms)} of ${plural(score.hits + score.false_alarms, 'such chance')} did not come true.` : null,
  ].filter(Boolean);
}

function figures(score) {
  return table('Scores', ['Score', 'Value', 'Meaning'], [
    ['Error of the lowest', difference(score.rmse), 'root mean square'],
    ['Bias', difference(score.bias), 'above 0: expected too warm'],
    ['Brier score', digits(score.brier, 3), '0 is perfect'],
    ['Skill over 14 nights', digits(score.skill_climatology, 2), '0 is no better, 1 perfect'],
    ['Skill over last night', digits(score.skill_persistence, 2), '0 is no better, 1 perfect'],
  ]);
}

const warningRow = ({ rule, nights, came_true: hits, false_alarms: wrong, unknown, open, missed, lead_hours_p50: lead }) => [rule, count(nights), count(hits), count(wrong), count(missed), count(unknown + open), isKnown(lead) ? `${digits(lead, 1)} h` : '–'];

export class Score {
  #asked = 0;
  #timer = 0;

  /** hooks: limit() in °C */
  constructor(hooks) {
    this.hooks = hooks;
    byId('score').addEventListener('toggle', () => this.load());
  }

  /** Asks once the limit has stopped moving. */
  loadSoon() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.load(), SOON_MS);
  }

  /** Reloads while it is open; of several answers, that of the last request counts. */
  async load() {
    clearTimeout(this.#timer);
    if (!byId('score').open || byId('score').hidden) return;
    const asked = ++this.#asked;
    const limit = this.hooks.limit();
    try {
      const answer = await get(`outlooks/score?limit=${toTenth(limit)}`);
      if (asked !== this.#asked) return;
      this.#draw(answer, limit);
      if (!answer.is_current) this.#timer = setTimeout(() => this.load(), AGAIN_MS);
    } catch (error) {
      if (asked === this.#asked) setText(byId('score-note'), `The scores could not be loaded: ${error.message}`);
    }
  }

  #draw(answer, limit) {
    const { score, warnings, is_current: isCurrent } = answer;
    const none = 'No night has been scored yet. A station is scored from its third complete night on.';
    setText(byId('score-note'), [...(score.nights ? sentences(answer, limit) : [none]), isCurrent ? null : 'Still reading…'].filter(Boolean).join(' '));
    byId('score-parts').replaceChildren(...[
      score.nights ? el('figure', {}, diagram(score.reliability), el('figcaption', { class: 'soft' }, 'How often the limit was reached (%), by the chance given. On the line, chances are reliable; hollow points stand for fewer than 20 nights.')) : null,
      score.nights ? figures(score) : null,
      warnings.length ? table('Warnings that were sent', ['Warnings of', 'Nights', 'Right', 'False', 'Missed', 'Unknown', 'Lead'], warnings.map(warningRow)) : null,
    ].filter(Boolean));
  }
}
