// The panel of one station: its data, its observations and its alerts.

import { get } from './api.js';
import { chartOf } from './chart.js';
import { day, el, timeOf } from './dom.js';
import { nightOf } from './night.js';
import { height, temperature } from './units.js';

const NAMES_MAX = 500;
const ALERTS_MAX = 5;

const cache = new Map();

/** A station's data; loaded once, because hovering asks for it repeatedly. */
export async function stationOf(id) {
  if (cache.has(id)) return cache.get(id);
  const station = await get(`stations/${encodeURIComponent(id)}`);
  if (cache.size >= NAMES_MAX) cache.delete(cache.keys().next().value);
  cache.set(id, station);
  return station;
}

export const knownStation = (id) => cache.get(id);

const isKnown = (value) => typeof value === 'number' && Number.isFinite(value);
const angle = (value, plus, minus) => (isKnown(value) ? `${Math.abs(value).toFixed(4)}° ${value < 0 ? minus : plus}` : '–');

function facts(station) {
  // NOAA writes −999.9 for an unknown elevation.
  const elevation = isKnown(station.elevation) && station.elevation > -900 ? height(station.elevation) : '–';
  const entries = [['Place', `${angle(station.latitude, 'N', 'S')}, ${angle(station.longitude, 'E', 'W')}`], ['Elevation', elevation]];
  return el('dl', { class: 'station-facts' }, ...entries.map(([name, value]) => el('div', {}, el('dt', {}, name), el('dd', {}, value))));
}

function latest(points, id) {
  const at = points?.find(id);
  const celsius = at === undefined ? NaN : points.celsius[at];
  const stands = at !== undefined && points.standing.has(at);
  return el('p', { class: 'latest' },
    el('b', { class: celsius < 0 ? 'freezing' : null }, temperature(celsius)),
    el('span', {}, Number.isNaN(celsius) ? 'no TMIN' : `TMIN of ${day(points.dates[at])}`),
    stands ? el('span', { class: 'chip standing-chip' }, 'standing alert') : null);
}

function alertsOf(records) {
  if (!records.length) return null;
  return el('div', { class: 'station-alerts' },
    el('h4', {}, 'Newest alerts here'),
    el('ul', {}, ...records.slice(0, ALERTS_MAX).map(({ alert, timestamp_ms: at }) => el('li', {},
      el('span', { class: `word ${alert.transition}` }, String(alert.transition)), ' ', el('span', { class: 'mono' }, String(alert.rule_id)), ' ', el('span', { class: 'soft' }, day(alert.date)), ' ', timeOf(at)))));
}

export class StationPanel {
  #root;
  #opener = null;
  #asked = 0;
  #outlook = null;

  /** hooks: points(), alerts(id), tonight(), onOpen(id), onClose() */
  constructor(root, hooks) {
    this.#root = root;
    this.hooks = hooks;
    this.id = null;
    root.addEventListener('keydown', (event) => { if (event.key === 'Escape') this.close(); });
  }

  async open(id, { focus = true } = {}) {
    if (this.#root.hidden) this.#opener = document.activeElement;
    this.id = id;
    this.#frame(id, knownStation(id), [el('p', { class: 'empty small' }, 'Loading…')]);
    this.#root.hidden = false;
    this.hooks.onOpen(id);
    if (focus) this.#root.querySelector('h3').focus({ preventScroll: innerWidth > 760 });
    await this.#load(id);
  }

  /** There is new data of the open station. A reader in the middle of it is not disturbed. */
  async refresh() {
    const inside = document.activeElement;
    const isTitle = inside?.tagName === 'H3';
    if (this.id !== null && (isTitle || !this.#root.contains(inside))) await this.#load(this.id);
  }

  async #load(id) {
    const asked = ++this.#asked;
    const isOld = () => asked !== this.#asked;
    const hadFocus = () => this.#root.contains(document.activeElement);
    try {
      const path = encodeURIComponent(id);
      const outlook = get(`outlooks/${path}${this.hooks.tonight().query}`).catch(() => null);
      const [station, observations, night] = await Promise.all([stationOf(id), get(`stations/${path}/observations`), outlook]);
      if (isOld()) return;
      this.#outlook = night;
      const refocus = hadFocus();
      this.#frame(id, station, [this.#night(), latest(this.hooks.points(), id), chartOf(observations?.days, this.#width()), alertsOf(this.hooks.alerts(id)), facts(station)]);
      if (refocus) this.#root.querySelector('h3').focus({ preventScroll: true });
    } catch (error) {
      if (!isOld()) this.#frame(id, knownStation(id), [el('p', { class: 'empty small wrong' }, `This station could not be loaded: ${error.message}`)]);
    }
  }

  /** The unit has changed. */
  redraw() {
    if (this.id !== null) this.#load(this.id);
  }

  #width() { return Math.max(260, this.#root.clientWidth - 32); }

  #night() { return nightOf(this.#outlook, this.hooks.tonight().limit, this.#width()); }

  /** The limit or the unit has changed: the curve is drawn again from what is known. */
  redrawNight() {
    const old = this.#root.querySelector('.night-box');
    if (!old) return;
    const isOpen = old.querySelector('details').open;
    const hadFocus = old.contains(document.activeElement);
    const night = this.#night();
    if (!night) return;
    night.querySelector('details').open = isOpen;
    old.replaceWith(night);
    if (hadFocus) night.querySelector('summary').focus({ preventScroll: true });
  }

  /** The night may have changed, so it is loaded again. */
  async refreshNight() {
    const id = this.id;
    if (id === null) return;
    const outlook = await get(`outlooks/${encodeURIComponent(id)}${this.hooks.tonight().query}`).catch(() => null);
    if (id !== this.id || !outlook?.time) return;
    this.#outlook = outlook;
    if (this.#root.querySelector('.night-box')) this.redrawNight();
    else await this.refresh();
  }

  close() {
    if (this.#root.hidden) return;
    this.#asked += 1;
    this.#root.hidden = true;
    this.id = null;
    this.#outlook = null;
    this.hooks.onClose();
    if (this.#opener?.isConnected) this.#opener.focus({ preventScroll: true });
  }

  #frame(id, station, children) {
    const place = [station?.state, station?.country].filter(Boolean).join(', ');
    this.#root.replaceChildren(
      el('div', { class: 'station-head' },
        el('div', {},
          el('h3', { id: 'station-title', tabindex: -1 }, station?.name || id),
          el('p', { class: 'soft' }, el('span', { class: 'mono' }, id), place ? ` · ${place}` : '')),
        el('button', { type: 'button', class: 'icon-button', 'aria-label': 'Close the station', onclick: () => this.close() }, '×')),
      ...children.filter(Boolean));
  }
}
