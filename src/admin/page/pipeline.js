// The pipeline as a picture: topics as pipes, stages as cards, a square for each partition.

import { brief, count, el, hideTip, plural, rate, setText, showTip, span, svg } from './dom.js';

// The place of each part in the picture, and default names of topics until the daemon sends its own.
const STAGES = [
  { stage: 'assemble', does: 'lines to observations', source: 'noaa-csv-raw', sink: 'noaa-json' },
  { stage: 'enrich', does: 'JSON with stations', source: 'noaa-raw', sink: 'noaa-json' },
  { stage: 'filter', does: 'keeps what matters', source: 'noaa-json', sink: 'noaa-json-us-az' },
  { stage: 'alert', does: 'applies the rules', source: 'noaa-json-us-az', sink: 'noaa-json-alerts' },
  { stage: 'notify', does: 'alerts to notices', source: 'noaa-json-alerts', sink: 'noaa-notices' },
  { stage: 'deliver', does: 'sends to people', source: 'noaa-notices', sink: 'noaa-deliveries' },
];
const TOPICS = [['assemble', 'source'], ['enrich', 'source'], ['filter', 'source'], ['alert', 'source'], ['notify', 'source'], ['deliver', 'source'], ['deliver', 'sink']];

const HISTORY = 60;
const SQUARES_MAX = 512;
// More than this many partitions get small squares without a number.
const NUMBERED_MAX = 30;
// A partition lags if more records wait than the stage processes in ten seconds; a few hundred are always in flight.
const LAG_SECONDS = 10;
const LAG_RECORDS_LEAST = 500;

function stateOf(partition, stage) {
  if (partition.phase !== 'running') return partition.phase;
  const ownRate = (stage?.records_per_second ?? 0) / Math.max(1, stage?.partitions ?? 1);
  return partition.lag_records > Math.max(LAG_RECORDS_LEAST, LAG_SECONDS * ownRate) ? 'lagging' : 'running';
}

const restored = ({ restored_records: done, restore_records: all }) => (all > 0 ? Math.min(1, done / all) : 0);

function partitionInWords(partition, state) {
  const lines = [`worker ${partition.worker}, ${state}`];
  if (state === 'restoring') lines.push(`${count(partition.restored_records)} of ${count(partition.restore_records)} records restored`);
  if (partition.failure) lines.push(partition.failure);
  lines.push(`committed ${count(partition.committed_offset)} of ${count(partition.end_offset)}`, `lag ${plural(partition.lag_records, 'record')}`);
  return lines;
}

class StageCard {
  constructor({ stage, does }) {
    this.name = stage;
    this.history = [];
    this.squares = new Map();
    this.partitions = new Map();
    this.state = null;
    this.rate = el('b', {}, '–');
    this.lag = el('span', { class: 'lag' }, '–');
    this.note = el('span', { class: 'counts' });
    this.spark = svg('path', { class: 'spark-line' });
    this.sparkFill = svg('path', { class: 'spark-fill' });
    this.grid = el('div', { class: 'squares', role: 'group', 'aria-label': `Partitions of ${stage}` });
    this.node = el('article', { class: `stage stage-${stage} absent`, 'aria-label': `Stage ${stage}` },
      el('header', {}, el('h3', {}, stage), el('span', { class: 'soft' }, does)),
      el('p', { class: 'figure' }, this.rate, el('span', {}, ' records/s')),
      svg('svg', { class: 'spark', viewBox: '0 0 120 24', preserveAspectRatio: 'none', 'aria-hidden': 'true' }, this.sparkFill, this.spark),
      this.lag, this.grid, this.note);
    this.grid.addEventListener('keydown', (event) => this.#step(event));
  }

  update(stage) {
    this.state = stage ?? null;
    this.node.classList.toggle('absent', !stage);
    if (!stage) {
      setText(this.rate, '–');
      setText(this.lag, 'not in this process');
      setText(this.note, '');
      return;
    }
    setText(this.rate, rate(stage.records_per_second));
    const late = stage.lag_seconds > LAG_SECONDS;
    setText(this.lag, stage.lag_records === null || stage.lag_records === undefined ? 'lag unknown' : `lag ${brief(stage.lag_records)} · ${span(stage.lag_seconds, true)}`);
    this.lag.classList.toggle('late', late);
    setText(this.note, this.#countsInWords(stage.counts ?? {}));
    this.#drawSpark(stage.records_per_second);
    this.#paint();
  }

  #countsInWords(counts) {
    const output = this.state?.written;
    const parts = [`${brief(counts.records_in)} in`];
    if (output) parts.push(`${brief(counts[output])} ${output}`);
    if (counts.dead_letters) parts.push(`${brief(counts.dead_letters)} dead`);
    return parts.join(' · ');
  }

  #drawSpark(value) {
    this.history.push(value ?? 0);
    if (this.history.length > HISTORY) this.history.shift();
    const most = Math.max(1, ...this.history);
    const step = 120 / (HISTORY - 1);
    const first = 120 - step * (this.history.length - 1);
    const line = this.history.map((each, index) => `${index ? 'L' : 'M'}${(first + index * step).toFixed(1)} ${(22 - (each / most) * 19).toFixed(1)}`).join('');
    this.spark.setAttribute('d', line);
    this.sparkFill.setAttribute('d', `${line}L120 24L${first.toFixed(1)} 24Z`);
  }

  setPartitions(partitions) {
    this.partitions = new Map(partitions.slice(0, SQUARES_MAX).map((partition) => [partition.partition, partition]));
    for (const [number, square] of this.squares) if (!this.partitions.has(number)) { square.remove(); this.squares.delete(number); }
    this.grid.classList.toggle('many', this.partitions.size > NUMBERED_MAX);
    for (const number of [...this.partitions.keys()].sort((a, b) => a - b)) {
      if (!this.squares.has(number)) this.squares.set(number, this.#square(number));
      this.grid.append(...(this.squares.get(number).isConnected ? [] : [this.squares.get(number)]));
    }
    // One stop for the Tab key; arrow keys move between squares.
    const squares = [...this.squares.values()];
    if (squares.length && !squares.some((square) => square.tabIndex === 0)) squares[0].tabIndex = 0;
    this.#paint();
  }

  #square(number) {
    const bar = el('i', { 'aria-hidden': 'true' });
    const worker = el('span', { 'aria-hidden': 'true' });
    const square = el('button', { type: 'button', class: 'square', tabindex: -1 }, bar, worker);
    const show = () => {
      const partition = this.partitions.get(number);
      if (!partition) return;
      const box = square.getBoundingClientRect();
      showTip([el('strong', {}, `${this.name}, partition ${number}`), ...partitionInWords(partition, stateOf(partition, this.state)).map((line) => el('span', {}, line))], box.right - 8, box.bottom - 8);
    };
    for (const name of ['pointerenter', 'focus', 'click']) square.addEventListener(name, show);
    for (const name of ['pointerleave', 'blur']) square.addEventListener(name, hideTip);
    return square;
  }

  #paint() {
    for (const [number, square] of this.squares) {
      const partition = this.partitions.get(number);
      const state = stateOf(partition, this.state);
      square.dataset.state = state;
      square.setAttribute('aria-label', `Partition ${number}: ${partitionInWords(partition, state).join(', ')}`);
      square.firstChild.style.height = state === 'restoring' ? `${Math.round(restored(partition) * 100)}%` : '';
      setText(square.lastChild, String(partition.worker));
    }
  }

  #step(event) {
    const squares = [...this.grid.children];
    const at = squares.indexOf(document.activeElement);
    const to = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: squares.length - 1 }[event.key];
    if (at < 0 || !squares[to]) return;
    event.preventDefault();
    squares[at].tabIndex = -1;
    squares[to].tabIndex = 0;
    squares[to].focus();
  }
}

const KEY = [['running', 'running'], ['lagging', 'lagging'], ['restoring', 'being restored'], ['failed', 'not working']];

// The address that a process reports becomes a link only if it has the form of an address.
const ADDRESS = /^[\w.-]+:\d+$|^\[[\da-f:.]+\]:\d+$/i;

/** [0, 1, 2, 5] → "0–2, 5" */
function ranges(numbers) {
  const found = [];
  for (const number of numbers) {
    const last = found.at(-1);
    if (last && number === last[1] + 1) last[1] = number;
    else found.push([number, number]);
  }
  return found.map(([from, to]) => (from === to ? String(from) : `${from}–${to}`)).join(', ');
}

const placeOf = (name) => { const at = STAGES.findIndex(({ stage }) => stage === name); return at < 0 ? STAGES.length : at; };
const byPlace = (a, b) => placeOf(a) - placeOf(b) || a.localeCompare(b);

function processRow({ address, host, is_this: isThis, partitions }) {
  const name = isThis ? 'this process' : address ?? `a process on ${host}`;
  const title = !isThis && ADDRESS.test(address ?? '') ? el('a', { href: `http://${address}/`, class: 'mono' }, name) : el('b', {}, name);
  return el('li', {}, title, ...Object.keys(partitions).sort(byPlace).map((stage) => el('span', { class: 'soft' }, `${stage} ${ranges(partitions[stage])}`)));
}

export class Pipeline {
  constructor({ flow, more, key, note, processes }) {
    this.note = note;
    this.more = more;
    this.processes = processes;
    this.cards = new Map(STAGES.map((stage) => [stage.stage, new StageCard(stage)]));
    this.topics = TOPICS.map(([stage, side]) => ({ stage, side, name: el('span', { class: 'mono' }, STAGES.find((each) => each.stage === stage)[side]) }));
    this.dead = el('b', {}, '0');
    this.deadOf = el('span', { class: 'dead-of' });
    flow.append(
      ...this.topics.map(({ stage, side, name }) => el('div', { class: `topic topic-${stage}-${side}` }, el('span', { class: 'pipe', 'aria-hidden': 'true' }), name)),
      ...[...this.cards.values()].map((card) => card.node),
      el('i', { class: 'join join-upper', 'aria-hidden': 'true' }), el('i', { class: 'join join-lower', 'aria-hidden': 'true' }),
      el('a', { class: 'dead-topic', href: '#dead-letters' }, el('span', { class: 'mono' }, 'noaa-dead-letters'), this.dead, this.deadOf));
    key.append(...KEY.map(([state, name]) => el('span', {}, el('i', { class: 'square sample', 'data-state': state, 'aria-hidden': 'true' }), name)), el('span', {}, 'number = worker'));
  }

  setStages(stages) {
    const byName = new Map(stages.map((stage) => [stage.stage, stage]));
    for (const stage of stages) this.#add(stage);
    for (const [name, card] of this.cards) card.update(byName.get(name));
    for (const { stage, side, name } of this.topics) if (byName.get(stage)?.[side]) setText(name, byName.get(stage)[side]);
    const dead = stages.filter(({ counts }) => counts?.dead_letters > 0);
    setText(this.dead, count(dead.reduce((sum, { counts }) => sum + counts.dead_letters, 0)));
    setText(this.deadOf, dead.length ? dead.map(({ stage, counts }) => `${stage} ${brief(counts.dead_letters)}`).join(' · ') : 'no dead letters');
    const restoring = stages.reduce((sum, stage) => sum + (stage.restoring ?? 0), 0);
    setText(this.note, stages.length === 0 ? 'No stage runs in this process: start frostline run' : restoring ? `${plural(restoring, 'partition')} being restored` : '');
  }

  /** A stage without a place in the picture, such as those of the night, gets a card below it. */
  #add({ stage, source, sink }) {
    if (this.cards.has(stage)) return;
    const card = new StageCard({ stage, does: `${source} → ${sink}` });
    this.cards.set(stage, card);
    this.more.append(card.node);
    this.more.hidden = false;
  }

  /** Who has what, where there is more than this process. */
  setProcesses(processes) {
    this.processes.hidden = processes.length < 2;
    const state = JSON.stringify(processes);
    if (this.shown === state) return;
    this.shown = state;
    this.processes.replaceChildren(...processes.map(processRow));
  }

  setPartitions(partitions) {
    for (const [name, card] of this.cards) card.setPartitions(partitions.filter(({ stage }) => stage === name));
  }
}
