// Puts the page together: loads the data, and passes events of the stream to the parts.

import { follow, get } from './api.js';
import { ago, brief, byId, count, day, el, hideTip, now, plural, rate, say, setClock, setText, showTip, span, tickTimes } from './dom.js';
import { alertList, deadLetterList, deliveryList, ROWS_MAX, ruleList } from './lists.js';
import { StationMap } from './map.js';
import { Pipeline } from './pipeline.js';
import { CHANCE_EDGES, LEGEND, PALETTE, Points } from './points.js';
import { Score } from './score.js';
import { StationSearch } from './search.js';
import { showSources } from './sources.js';
import { knownStation, StationPanel, stationOf } from './station.js';
import { Tonight } from './tonight.js';
import { fromCelsius, number, onUnit, percent, setUnit, temperature, unitOf, when } from './units.js';

const STATUS_EVERY_MS = 10_000;
const PARTITIONS_EVERY_MS = 3_000;
const RULES_EVERY_MS = 30_000;
const PROCESSES_EVERY_MS = 15_000;
// The standing alerts of a rule change with its alerts.
const RULES_AFTER_ALERT_MS = 2_000;
const TICK_MS = 5_000;
const STANDING_MAX = 200;
const OUTLOOKS_EVERY_MS = 10_000;
// The stations have megabytes: a browser that keeps missing events must not load them each time.
const STATIONS_AGAIN_MS = 60_000;
const OLD_STATIONS_EVERY_MS = 15_000;
const HOVER_ASKS_AFTER_MS = 220;
const STREAM_WAIT_MS = 2_000;

const root = document.documentElement;
const page = { points: new Points({}), stages: [], status: null, statusError: null, stationsAt: 0, stationsAreOld: false, standing: null, isLive: false, isTonight: false, hasFitted: false };
/** The stations that the map shows. */
const shown = () => (page.isTonight ? tonight.points : page.points);

// ---- colours ----------------------------------------------------------------------------------------------------

const prefersDark = matchMedia('(prefers-color-scheme: dark)');
const THEME_KEY = 'frostline-theme';

function keptTheme() {
  try { return localStorage.getItem(THEME_KEY); } catch { return null; }
}

const theme = () => root.dataset.theme ?? (prefersDark.matches ? 'dark' : 'light');

function applyTheme() {
  byId('theme').setAttribute('aria-pressed', String(theme() === 'dark'));
  map.setTheme(theme());
  drawLegend();
}

function drawUnits() {
  for (const unit of ['C', 'F']) byId(`unit-${unit.toLowerCase()}`).setAttribute('aria-pressed', String(unitOf() === unit));
}

function showUnits() {
  drawUnits();
  drawLegend();
  drawStanding();
  alerts.redraw();
  tonight.redraw();
  score.loadSoon();
  panel.redraw();
}

function toggleTheme() {
  root.dataset.theme = theme() === 'dark' ? 'light' : 'dark';
  try { localStorage.setItem(THEME_KEY, root.dataset.theme); } catch { /* It holds until the page is left. */ }
  applyTheme();
}

function swatch(colour, name) {
  const box = el('i', { class: 'swatch', 'aria-hidden': 'true' });
  box.style.backgroundColor = colour;
  return el('span', { class: 'step' }, box, name ? el('span', {}, name) : null);
}

function drawChanceLegend() {
  const colours = PALETTE[theme()];
  byId('legend').replaceChildren(
    el('div', { class: 'scale', role: 'img', 'aria-label': 'Colours of the chance, from below 1 % to above 90 %' },
      ...[...colours.chance].reverse().map((colour, index) => swatch(colour, index < CHANCE_EDGES.length ? String(CHANCE_EDGES[index]) : null)), el('span', { class: 'unit' }, '%')),
    el('span', { class: 'legend-entry' }, el('i', { class: 'hollow', 'aria-hidden': 'true' }), 'unknown: silent for 4 hours, or no outlook yet'));
}

function drawLegend() {
  if (page.isTonight) return drawChanceLegend();
  const colours = PALETTE[theme()];
  const bound = (celsius) => String(Math.round(fromCelsius(celsius))).replace('-', '−');
  const [coldest, warmest] = [LEGEND[0], LEGEND.at(-1)].map((celsius) => `${bound(celsius)} °${unitOf()}`);
  byId('legend').replaceChildren(
    el('div', { class: 'scale', role: 'img', 'aria-label': `Colours from dark blue, below ${coldest}, over light blue and light orange at the frost line, to brown, above ${warmest}` },
      ...colours.scale.map((colour, index) => swatch(colour, index < LEGEND.length ? bound(LEGEND[index]) : null)), el('span', { class: 'unit' }, `°${unitOf()}`)),
    el('span', { class: 'legend-entry' }, swatch(colours.unknown, null), 'unknown'),
    el('span', { class: 'legend-entry' }, el('i', { class: 'ring', 'aria-hidden': 'true' }), 'standing alert'));
}

// ---- the map and the panel ----------------------------------------------------------------------------------------

const isNarrow = () => innerWidth <= 760;

const panel = new StationPanel(byId('station'), {
  points: () => page.points,
  tonight: () => tonight,
  alerts: (id) => alerts.records.filter(({ alert }) => alert?.station?.id === id),
  onOpen(id) {
    history.replaceState(null, '', `#station/${encodeURIComponent(id)}`);
    map.rightInset = isNarrow() ? 0 : byId('station').offsetWidth;
    const at = shown().find(id) ?? -1;
    map.select(at);
    // By night, stations nearby show this too.
    map.reveal(at, { least: page.isTonight ? 900 : undefined });
  },
  onClose() {
    history.replaceState(null, '', location.pathname + location.search + (page.isTonight ? '#tonight' : ''));
    map.rightInset = 0;
    map.select(-1);
  },
});

function openStation(id) {
  if (!id) return;
  hideTip();
  // On a phone the map may be far above the touched row.
  byId('map-stage').scrollIntoView({ block: 'nearest', behavior: 'auto' });
  panel.open(id);
}

function chanceTip({ id, name, state, chance, p10_c: low, p50_c: middle, p90_c: high, time } = {}) {
  const words = {
    silent: [`Unknown: no observation since ${when(Date.parse(time), now())}`],
    no_outlook: ['No outlook yet: outlooks start at 15:00 local time'],
  }[state] ?? [`${percent(chance)} for ${temperature(tonight.limit)} or less`, `Lowest ${temperature(middle)} (${number(low)} to ${number(high)})`];
  return [el('strong', {}, name || id), ...words.map((text) => el('span', {}, text))];
}

let hoverTimer = 0;
function hover(at, event) {
  clearTimeout(hoverTimer);
  if (at < 0) return hideTip();
  if (page.isTonight) return showTip(chanceTip(tonight.row(at)), event.clientX, event.clientY);
  const id = page.points.ids[at];
  const show = () => {
    const celsius = page.points.celsius[at];
    const name = knownStation(id)?.name;
    showTip([
      el('strong', {}, name || id), name ? el('span', { class: 'mono' }, id) : null,
      el('span', {}, Number.isNaN(celsius) ? 'TMIN unknown' : `TMIN ${temperature(celsius)} on ${day(page.points.dates[at])}`),
      page.points.standing.has(at) ? el('span', { class: 'some' }, 'Standing alert') : null,
    ].filter(Boolean), event.clientX, event.clientY);
  };
  show();
  if (!knownStation(id)) {
    hoverTimer = setTimeout(() => stationOf(id).then(() => { if (map.hovered === at) show(); }, () => {}), HOVER_ASKS_AFTER_MS);
  }
}

const map = new StationMap(byId('map'), {
  onPick: (at) => panel.open(shown().ids[at]),
  onHover: hover,
  onView(name) {
    byId('view-world').setAttribute('aria-pressed', String(name === 'world'));
    byId('view-data').setAttribute('aria-pressed', String(name === 'data'));
  },
});

const tonight = new Tonight({
  onPoints: showTonightsPoints,
  onColours: () => { if (page.isTonight) map.coloursChanged(); },
  onLimit: () => { panel.redrawNight(); score.loadSoon(); },
  onOpen: (id) => openStation(id),
});

function showTonightsPoints() {
  if (!page.isTonight) return;
  map.setPoints(tonight.points);
  map.select(tonight.points.find(panel.id) ?? -1);
  byId('map').setAttribute('aria-label', `Map of ${plural(tonight.points.placed, 'station')} with outlooks of the coming night`);
  // The open station stays in view if it is among these.
  if (!page.hasFitted && tonight.points.placed && tonight.points.find(panel.id) === undefined) {
    page.hasFitted = true;
    map.fit();
  }
}

function tellIfNightIsEmpty() {
  if (!page.isTonight) return;
  byId('map-empty').hidden = tonight.emptiness === null;
  setText(byId('map-empty'), tonight.emptiness ?? '');
}

const score = new Score({ limit: () => tonight.limit });
const loadTonight = () => Promise.all([tonight.load().then(tellIfNightIsEmpty), score.load()]);

/** Switches the map between the newest days and the coming night. */
function showTonight(isTonight) {
  if (page.isTonight === isTonight) return;
  page.isTonight = isTonight;
  hideTip();
  for (const id of ['tonight-bar', 'chances', 'score']) byId(id).hidden = !isTonight;
  byId('standing').hidden = isTonight;
  byId('show-tonight').setAttribute('aria-pressed', String(isTonight));
  byId('show-days').setAttribute('aria-pressed', String(!isTonight));
  map.setLook(isTonight ? 'chance' : 'scale');
  drawLegend();
  if (panel.id === null) history.replaceState(null, '', location.pathname + location.search + (isTonight ? '#tonight' : ''));
  if (isTonight) {
    showTonightsPoints();
    loadTonight();
  } else {
    map.setPoints(page.points);
    map.select(page.points.find(panel.id) ?? -1);
    tellIfMapIsEmpty(NO_STATIONS);
    drawStanding();
  }
}

const alerts = alertList(byId('alerts-list'), { onOpen: openStation });
const deadLetters = deadLetterList(byId('dead-list'), byId('dead-groups'));
const deliveries = deliveryList(byId('deliveries-list'), { onOpen: openStation });
const rules = ruleList(byId('rules-list'), byId('rules-filter'), byId('rules-note'));
const pipeline = new Pipeline({ flow: byId('flow'), more: byId('flow-more'), key: byId('pipeline-key'), note: byId('pipeline-note'), processes: byId('processes') });

function drawStanding() {
  const { points } = page;
  const stations = [...points.standing].sort((a, b) => (Number.isNaN(points.celsius[a]) ? 99 : points.celsius[a]) - (Number.isNaN(points.celsius[b]) ? 99 : points.celsius[b]));
  const all = stations.length;
  setText(byId('standing-title'), all ? `${plural(all, 'station')} with a standing alert${all > STANDING_MAX ? ` (the ${STANDING_MAX} coldest are listed)` : ''}` : 'No standing alert at any station');
  if (!page.isTonight) byId('map').setAttribute('aria-label', `Map of ${plural(points.placed, 'station')}, ${count(all)} with a standing alert`);
  setText(byId('sub-stations'), all ? `${count(all)} with an alert` : 'no standing alert');
  if (!byId('standing').open) return;
  const focused = byId('standing-list').contains(document.activeElement) ? document.activeElement.dataset.station : null;
  byId('standing-list').replaceChildren(...stations.slice(0, STANDING_MAX).map((at) => el('li', {},
    el('button', { type: 'button', 'data-station': points.ids[at], onclick: () => openStation(points.ids[at]) }, el('span', { class: 'mono' }, points.ids[at]), el('span', {}, temperature(points.celsius[at]))))));
  if (focused) [...byId('standing-list').querySelectorAll('button')].find((button) => button.dataset.station === focused)?.focus();
}

// ---- announcements of alerts ---------------------------------------------------------------------------------------

function takeAlert(record) {
  const alert = record.alert ?? {};
  // Also if the list has it already: the standing alerts may have been asked for before it came.
  page.rulesAreOld = true;
  if (!alerts.add(record)) return;
  const at = shown().find(alert.station?.id);
  if (at !== undefined) map.ping(at);
  page.unannounced = (page.unannounced ?? 0) + 1;
  say(() => {
    const text = `${plural(page.unannounced, 'new alert')}. ${alert.transition}: ${alert.message ?? alert.rule_id}`;
    page.unannounced = 0;
    return text;
  });
}

// ---- header and sums --------------------------------------------------------------------------------------------------

const GUARANTEES = { exactly_once: 'exactly once', at_least_once: 'at least once' };

function drawStatus() {
  const { status, statusError } = page;
  const isReady = status?.is_ready === true && !statusError;
  byId('readiness').dataset.state = statusError ? 'unknown' : isReady ? 'ready' : 'not-ready';
  const reasons = (status?.reasons ?? []).join('; ');
  setText(byId('readiness').querySelector('[data-words]'), statusError ? `Unknown: ${statusError}` : isReady ? 'Ready' : `Not ready${reasons ? `: ${reasons}` : ''}`);
  if (!status) return;
  const entries = [
    ['version', status.version], ['guarantee', GUARANTEES[status.guarantee] ?? status.guarantee], ['cluster', status.cluster],
    ['instance', status.instance], ['up', span((now() - status.started_at_ms) / 1000)],
  ].filter(([, value]) => value !== null && value !== undefined && value !== '');
  byId('facts').replaceChildren(...entries.map(([name, value]) => el('div', { title: `${name}: ${value}` }, el('dt', {}, name), el('dd', {}, String(value)))));
}

const sum = (stages, read) => stages.reduce((all, stage) => all + (read(stage) ?? 0), 0);
// What has come: counts start with the process, and the list may hold older records, of which it loads ROWS_MAX.
const total = (counted, records) => (records.length >= ROWS_MAX && !(counted > ROWS_MAX) ? `${ROWS_MAX}+` : brief(Math.max(counted, records.length)));
const newest = (records) => (records.length ? `newest ${ago(records[0].timestamp_ms)}` : 'none so far');

function drawSums() {
  const { stages, points } = page;
  const lags = stages.map(({ lag_seconds: lag }) => lag).filter(Number.isFinite);
  setText(byId('sum-stations'), count(points.length));
  setText(byId('sum-pipeline'), `${rate(sum(stages, (stage) => stage.records_per_second))}/s`);
  setText(byId('sub-pipeline'), lags.length ? `lag ${span(Math.max(...lags), true)}` : 'lag unknown');
  setText(byId('sum-alerts'), total(sum(stages, ({ counts }) => counts?.alerts), alerts.records));
  setText(byId('sub-alerts'), newest(alerts.records));
  const all = rules.rules();
  const quarantined = all.filter((rule) => rule.quarantined).length;
  setText(byId('sum-rules'), count(all.length));
  setText(byId('sub-rules'), [`${count(sum(all, (rule) => rule.standing))} standing`, quarantined ? `${count(quarantined)} quarantined` : null].filter(Boolean).join(', '));
  setText(byId('sum-dead'), total(sum(stages, ({ counts }) => counts?.dead_letters), deadLetters.records()));
  setText(byId('sub-dead'), newest(deadLetters.records()));
  setText(byId('sum-deliveries'), total(sum(stages, ({ counts }) => counts?.sent), deliveries.records));
  const failed = deliveries.records.filter(({ outcome }) => outcome === 'failed').length;
  setText(byId('sub-deliveries'), failed ? `${count(failed)} of the newest failed` : newest(deliveries.records));
  setText(byId('alerts-note'), alerts.records.length >= ROWS_MAX ? `the newest ${ROWS_MAX}` : '');
}

// ---- loading --------------------------------------------------------------------------------------------------------

const array = (value) => (Array.isArray(value) ? value : []);

async function loadStatus() {
  try {
    page.status = await get('status');
    page.statusError = null;
    setClock(page.status.now_ms);
  } catch (error) {
    page.statusError = error.message;
  }
  drawStatus();
  showSources(array(await get('sources').catch(() => [])));
}

async function loadProcesses() {
  pipeline.setProcesses(array(await get('processes')));
}

function takeStages(stages) {
  page.stages = array(stages);
  pipeline.setStages(page.stages);
  drawSums();
}

async function loadPartitions() {
  pipeline.setPartitions(array(await get('partitions')));
}

async function loadStations() {
  // Before the request: what is missed while it loads makes them old again.
  Object.assign(page, { stationsAt: Date.now(), stationsAreOld: false });
  try {
    const columns = await get('stations');
    page.points = new Points(columns);
    // These are asked for more often than the stations.
    page.points.setStanding(page.standing ?? array(columns?.alerts));
    if (!page.isTonight) map.setPoints(page.points);
    tellIfMapIsEmpty(NO_STATIONS);
  } catch (error) {
    Object.assign(page, { stationsAt: 0, stationsAreOld: true });
    tellIfMapIsEmpty(`The stations could not be loaded: ${error.message}`);
  }
  drawStanding();
}

const NO_STATIONS = 'No station is known yet. Fill the table: frostline stations import ghcnd-stations.txt';

function tellIfMapIsEmpty(words) {
  if (page.isTonight) return;
  byId('map-empty').hidden = page.points.length > 0;
  setText(byId('map-empty'), words);
}

/** A list that fails shows its error, and the rest of the page works. */
async function loadInto(list, path) {
  try {
    list.load(array(await get(path)));
  } catch (error) {
    list.fail(error.message);
  }
}

let standingAsked = 0;

/** Only the daemon knows where alerts stand, as many end without an alert. The last request's answer counts. */
async function loadStanding() {
  const asked = ++standingAsked;
  const answer = await get('standing').catch(() => null);
  if (asked === standingAsked && Array.isArray(answer?.stations)) takeStanding(answer.stations);
}

function takeStanding(ids) {
  const standsHere = () => page.points.standing.has(page.points.find(panel.id));
  const stoodHere = standsHere();
  page.standing = ids;
  if (page.points.setStanding(ids) && !page.isTonight) map.coloursChanged();
  drawStanding();
  if (standsHere() !== stoodHere) panel.refresh();
}

const loadRules = () => Promise.all([loadInto(rules, 'rules'), loadStanding()]);

async function loadLists() {
  await Promise.all([
    get('stages').then(takeStages, () => {}),
    loadPartitions().catch(() => {}),
    loadProcesses().catch(() => {}),
    loadRules(),
    loadInto(alerts, `alerts?limit=${ROWS_MAX}`),
    loadInto(deadLetters, `dead-letters?limit=${ROWS_MAX}`),
    loadInto(deliveries, `deliveries?limit=${ROWS_MAX}`),
  ]);
}

/** Does nothing before they are due; they stay old until then. */
async function loadOldStations() {
  if (page.stationsAreOld && Date.now() - page.stationsAt > STATIONS_AGAIN_MS) await loadStations();
}

async function loadAgain() {
  page.stationsAreOld = true;
  await Promise.all([loadStatus(), loadLists(), loadOldStations()]);
  drawStanding();
  drawSums();
}

// ---- the stream -------------------------------------------------------------------------------------------------------

function takeObservations(changes) {
  if (page.points.observe(array(changes)) && !page.isTonight) map.coloursChanged();
  if (panel.id !== null && array(changes).some(([id]) => id === panel.id)) panel.refresh();
}

const EVENTS = {
  stages: takeStages,
  observations: takeObservations,
  alert: takeAlert,
  delivery: (record) => deliveries.add(record),
  dead_letter: (record) => deadLetters.add(record),
  gap: loadAgain,
};

let countdown = 0;

function drawStream({ state, seconds, again }) {
  clearInterval(countdown);
  page.isLive = state === 'live';
  const shown = state === 'live' ? 'live' : again || state === 'waiting' ? 'reconnecting' : 'connecting';
  byId('stream').dataset.state = shown;
  document.body.classList.toggle('is-behind', shown === 'reconnecting');
  setText(byId('stream').querySelector('[data-words]'), shown);
  byId('banner').hidden = shown !== 'reconnecting';
  const words = byId('banner').querySelector('[data-words]');
  const until = Date.now() + (seconds ?? 0) * 1000;
  const update = () => {
    const left = Math.ceil((until - Date.now()) / 1000);
    setText(words, left > 0 ? `Reconnecting in ${left} s. The page may be out of date.` : 'Reconnecting… The page may be out of date.');
  };
  if (shown === 'reconnecting') {
    update();
    countdown = setInterval(update, 1000);
  }
  if (state !== 'live' || !(again || page.isStreamLate)) return;
  page.isStreamLate = false;
  loadAgain();
}

// ---- the start ----------------------------------------------------------------------------------------------------

const search = { form: byId('search'), input: byId('search-text'), list: byId('search-found'), ids: (text, limit) => page.points.search(text, limit), onOpen: openStation };
new StationSearch(search);

function listen() {
  byId('theme').addEventListener('click', toggleTheme);
  for (const unit of ['C', 'F']) byId(`unit-${unit.toLowerCase()}`).addEventListener('click', () => setUnit(unit));
  onUnit(showUnits);
  drawUnits();
  prefersDark.addEventListener('change', applyTheme);
  byId('view-world').addEventListener('click', () => map.show('world'));
  byId('view-data').addEventListener('click', () => map.show('data'));
  byId('zoom-in').addEventListener('click', () => map.zoomBy(2));
  byId('zoom-out').addEventListener('click', () => map.zoomBy(0.5));
  byId('show-days').addEventListener('click', () => showTonight(false));
  byId('show-tonight').addEventListener('click', () => showTonight(true));
  byId('standing').addEventListener('toggle', drawStanding);
  addEventListener('keydown', (event) => { if (event.key === 'Escape') hideTip(); });
  addEventListener('scroll', hideTip, { passive: true });
  addEventListener('hashchange', openFromAddress);
}

function openFromAddress() {
  if (location.hash === '#tonight') return showTonight(true);
  const id = /^#station\/(.+)$/.exec(location.hash)?.[1];
  if (!id) return;
  try { openStation(decodeURIComponent(id)); } catch { /* A broken address opens nothing. */ }
}

/** Calls repeatedly, never twice at the same time, and not while the page is hidden. */
function every(ms, act) {
  setTimeout(async function turn() {
    if (!document.hidden) await Promise.resolve().then(act).catch(() => {});
    setTimeout(turn, ms);
  }, ms);
}

function keepUp() {
  every(STATUS_EVERY_MS, loadStatus);
  every(PARTITIONS_EVERY_MS, () => (page.isLive ? loadPartitions() : null));
  every(RULES_EVERY_MS, () => (page.isLive ? loadRules() : null));
  every(PROCESSES_EVERY_MS, () => (page.isLive ? loadProcesses() : null));
  every(RULES_AFTER_ALERT_MS, () => {
    if (!page.isLive || !page.rulesAreOld) return null;
    page.rulesAreOld = false;
    return loadRules();
  });
  every(OUTLOOKS_EVERY_MS, async () => {
    if (page.isTonight) await loadTonight();
    await panel.refreshNight();
  });
  every(OLD_STATIONS_EVERY_MS, loadOldStations);
  every(TICK_MS, tickTimes);
}

/** The stream first, then the lists: nothing is missed in between. A daemon whose stream does not come is shown all the same. */
function followFirst() {
  return new Promise((resolve) => {
    const { retryNow } = follow((name, data) => EVENTS[name]?.(data), (connection) => {
      drawStream(connection);
      if (connection.state !== 'connecting') resolve();
    });
    byId('retry').addEventListener('click', retryNow);
    setTimeout(resolve, STREAM_WAIT_MS);
  });
}

async function start() {
  const kept = keptTheme();
  if (kept === 'dark' || kept === 'light') root.dataset.theme = kept;
  listen();
  map.show('world', { jump: true });
  applyTheme();
  await loadStatus();
  await followFirst();
  // Without a stream, the lists miss what comes between their loading and its beginning.
  page.isStreamLate = !page.isLive;
  const world = fetch('world.json').then((answer) => answer.json()).then((lines) => map.setWorld(lines)).catch(() => {});
  await Promise.all([world, loadStations(), loadLists()]);
  map.show('data', { jump: true });
  drawStanding();
  drawSums();
  keepUp();
  openFromAddress();
  requestAnimationFrame(() => requestAnimationFrame(() => { root.dataset.ready = 'true'; }));
}

start();
