// Tonight: the chance of each station for an adjustable limit, for the map and as a list.

import { get } from './api.js';
import { byId, count, el, plural, setText } from './dom.js';
import { CHANCE_EDGES, Points } from './points.js';
import {
  fromCelsius, keep, kept, number, percent, temperature, toCelsius, toTenth, unitOf, when,
} from './units.js';

const LIMIT_KEY = 'frostline-limit';
const LIMIT_C = -2;
const ASK_AFTER_MS = 120;
const LISTED_MAX = 200;
// Range of the slider, in each unit; the number field accepts all values that observations may have.
const RANGES = { C: [-20, 10, 0.5], F: [-4, 50, 1] };
const [COLDEST_C, WARMEST_C] = [-90, 60];

const isKnown = (value) => typeof value === 'number' && Number.isFinite(value);

/** The highest chance has the first colour. */
function binOf(chance) {
  if (!isKnown(chance)) return null;
  const above = CHANCE_EDGES.filter((edge) => chance * 100 >= edge).length;
  return CHANCE_EDGES.length - above;
}

function keptLimit() {
  const text = kept(LIMIT_KEY);
  const value = text === null || text === '' ? NaN : Number(text);
  return value >= COLDEST_C && value <= WARMEST_C ? value : LIMIT_C;
}

export class Tonight {
  #asked = 0;
  #timer = 0;
  #key = null;
  #now = NaN;
  #isFailed = null;

  /** hooks: onPoints() when stations came or went, onColours(), onLimit(), onOpen(id) */
  constructor(hooks) {
    Object.assign(this, { hooks, limit: keptLimit(), isPast: false, rows: [], byId: new Map(), points: new Points({}) });
    byId('limit').addEventListener('input', (event) => this.#move(toCelsius(Number(event.target.value))));
    byId('limit-number').addEventListener('change', (event) => this.#move(toCelsius(event.target.value.trim() === '' ? NaN : Number(event.target.value))));
    byId('past').addEventListener('click', () => { this.isPast = !this.isPast; this.load(); });
    byId('chances').addEventListener('toggle', () => this.#drawList());
    this.#drawTools();
  }

  /** The part of an address that asks for a night as it was. */
  get query() { return this.isPast ? '?past=true' : ''; }

  row(at) { return this.byId.get(this.points.ids[at]); }

  #move(celsius) {
    if (Number.isFinite(celsius)) {
      // Hundredths, because in tenths of a degree Celsius 29 °F would be shown as 28.9 °F.
      this.limit = Math.min(WARMEST_C, Math.max(COLDEST_C, Math.round(celsius * 100) / 100));
      keep(LIMIT_KEY, this.limit);
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.load(), ASK_AFTER_MS);
      this.hooks.onLimit();
    }
    this.#drawTools();
  }

  /** The unit has changed. */
  redraw() {
    this.#drawTools();
    this.#drawNote();
    this.#drawList();
  }

  #drawTools() {
    const [least, most, step] = RANGES[unitOf()];
    const value = String(Math.round(fromCelsius(this.limit) * 10) / 10);
    const slider = byId('limit');
    Object.assign(slider, { min: least, max: most, step });
    slider.value = value;
    slider.setAttribute('aria-valuetext', temperature(this.limit));
    const field = byId('limit-number');
    Object.assign(field, { min: Math.floor(fromCelsius(COLDEST_C)), max: Math.ceil(fromCelsius(WARMEST_C)), step: 'any' });
    if (field.value === '' || Number(field.value) !== Number(value)) field.value = value;
    setText(byId('limit-unit'), `°${unitOf()} or less`);
  }

  /** Asks for the chances; of several answers the one that was asked for last counts. */
  async load() {
    const asked = ++this.#asked;
    try {
      const answer = await get(`outlooks?limit=${toTenth(this.limit)}${this.isPast ? '&past=true' : ''}`);
      if (asked !== this.#asked) return;
      this.#isFailed = null;
      this.#take(answer);
    } catch (error) {
      if (asked !== this.#asked) return;
      this.#isFailed = error.message;
    }
    this.#drawNote();
    this.#drawList();
  }

  #take(answer) {
    this.rows = (Array.isArray(answer?.stations) ? answer.stations : []).filter(({ id }) => typeof id === 'string');
    this.#now = Date.parse(answer?.as_of);
    this.byId = new Map(this.rows.map((row) => [row.id, row]));
    const sorted = [...this.rows].sort((a, b) => (a.id < b.id ? -1 : 1));
    const key = sorted.map(({ id, latitude, longitude }) => `${id} ${latitude} ${longitude}`).join();
    const isOther = key !== this.#key;
    if (isOther) {
      this.#key = key;
      const column = (name) => sorted.map((row) => row[name]);
      this.points = new Points({ id: column('id'), latitude: column('latitude'), longitude: column('longitude') });
    }
    this.points.paint((id) => binOf(this.byId.get(id)?.chance));
    if (isOther) this.hooks.onPoints();
    else this.hooks.onColours();
  }

  /** Why the map is empty, with what to do; null where it is not. */
  get emptiness() {
    if (this.rows.length) return null;
    if (this.#isFailed) return `The outlooks could not be loaded: ${this.#isFailed}`;
    return 'No outlook yet. Outlooks come from hourly observations: frostline replay KEWR-2013.csv.gz --topic noaa-hourly';
  }

  #drawNote() {
    const silent = this.rows.filter(({ state }) => state === 'silent').length;
    const waiting = this.rows.filter(({ state }) => state === 'no_outlook').length;
    const known = this.rows.length - silent - waiting;
    const newest = Math.max(...this.rows.map(({ time }) => Date.parse(time)).filter(Number.isFinite), -Infinity);
    const parts = [
      this.isPast && this.rows.length ? `As of the newest observation, ${when(this.#now, Date.now())}` : null,
      this.rows.length ? `${plural(known, 'station')} with an outlook` : null,
      silent ? `${count(silent)} silent for 4 hours: unknown` : null,
      waiting ? `${count(waiting)} before 15:00 local time` : null,
      this.rows.length && this.#isFailed ? `not up to date: ${this.#isFailed}` : null,
    ];
    setText(byId('tonight-note'), parts.filter(Boolean).join(' · '));
    const past = byId('past');
    past.hidden = !this.isPast && !(this.rows.length && silent === this.rows.length);
    past.setAttribute('aria-pressed', String(this.isPast));
    setText(past, this.isPast ? 'Back to now' : `Show the night of ${when(newest, Date.now())}`);
  }

  #drawList() {
    const known = this.rows.filter(({ chance }) => isKnown(chance));
    setText(byId('chances-title'), known.length ? `Stations by chance for ${temperature(this.limit)} or less${this.rows.length > LISTED_MAX ? ` (the first ${LISTED_MAX} of ${count(this.rows.length)})` : ''}` : 'No station has an outlook now');
    if (!byId('chances').open) return;
    const focused = byId('chances-list').contains(document.activeElement) ? document.activeElement.dataset.station : null;
    byId('chances-list').replaceChildren(...this.rows.slice(0, LISTED_MAX).map((row) => this.#listed(row)));
    if (focused) [...byId('chances-list').querySelectorAll('button')].find((button) => button.dataset.station === focused)?.focus();
  }

  #listed({ id, name, chance, state, p10_c: low, p50_c: middle, p90_c: high }) {
    const words = { silent: 'unknown: silent', no_outlook: 'no outlook yet' }[state] ?? percent(chance);
    return el('tr', { class: state },
      el('th', { scope: 'row' }, el('button', { type: 'button', class: 'link', 'data-station': id, onclick: () => this.hooks.onOpen(id) }, name || id)),
      el('td', {}, words), el('td', {}, temperature(middle)), el('td', {}, isKnown(low) ? `${number(low)} to ${number(high)}` : '–'));
  }
}
