// The lists: newest alerts, rules, dead letters, notifications. All are bounded, and unchanged rows are kept.

import { count, day, el, plural, setText, timeOf } from './dom.js';
import { temperature } from './units.js';

export const ROWS_MAX = 200;

const keyOf = ({ partition, offset }) => `${partition}@${offset}`;
const text = (value) => (value === null || value === undefined ? '' : String(value));

/** What to say where there is nothing, and what to do next. */
function emptyState({ title, words, command }) {
  return el('div', { class: 'empty' }, el('strong', {}, title), el('p', {}, words), command ? el('code', {}, command) : null);
}

/** A list of records, newest first. */
class Feed {
  constructor({ root, row, empty, label }) {
    Object.assign(this, { root, row, empty: emptyState(empty) });
    this.records = [];
    this.rows = new Map();
    this.list = el('ul', { class: 'rows', 'aria-label': label });
    this.shows = () => true;
    // Before the first answer it is unknown whether the list is empty.
    this.isLoaded = false;
    root.append(this.list, this.empty);
    this.#adjust();
  }

  load(records) {
    this.isLoaded = true;
    const loaded = new Set(records.map(keyOf));
    // Events of the stream that came while the list was loading are not in it yet.
    const since = records.length ? records[0].timestamp_ms : -Infinity;
    const newer = this.records.filter((record) => record.timestamp_ms > since && !loaded.has(keyOf(record)));
    this.records = [...newer, ...records].slice(0, ROWS_MAX);
    const wanted = new Set(this.records.map(keyOf));
    for (const [key, node] of this.rows) if (!wanted.has(key)) { node.remove(); this.rows.delete(key); }
    // From the oldest up, so that each row is inserted before the next older one.
    for (let at = this.records.length - 1, below = null; at >= 0; at -= 1) {
      const node = this.#rowOf(this.records[at]);
      if (node.parentNode !== this.list || node.nextSibling !== below) this.list.insertBefore(node, below);
      below = node;
    }
    this.#adjust();
  }

  /** False if it was there already: after a reload the stream may repeat an element. */
  add(record) {
    const key = keyOf(record);
    if (this.rows.has(key)) return false;
    this.records.unshift(record);
    const node = this.#rowOf(record);
    node.classList.add('fresh');
    this.list.prepend(node);
    if (this.records.length > ROWS_MAX) {
      const last = keyOf(this.records.pop());
      this.rows.get(last)?.remove();
      this.rows.delete(last);
    }
    this.#adjust();
    return true;
  }

  /** Makes all rows again, after what they depend on has changed. */
  redraw() {
    const { records } = this;
    for (const node of this.rows.values()) node.remove();
    this.rows.clear();
    this.records = [];
    this.load(records);
  }

  show(filter) {
    this.shows = filter;
    for (const record of this.records) this.rows.get(keyOf(record)).hidden = !filter(record);
  }

  fail(message) {
    if (this.records.length) return;
    this.isLoaded = true;
    this.#adjust();
    this.empty.replaceChildren(el('strong', {}, 'This list could not be loaded'), el('p', {}, message));
  }

  #rowOf(record) {
    const key = keyOf(record);
    if (!this.rows.has(key)) this.rows.set(key, this.row(record));
    const node = this.rows.get(key);
    node.hidden = !this.shows(record);
    return node;
  }

  #adjust() {
    this.list.hidden = this.records.length === 0;
    this.empty.hidden = !this.isLoaded || this.records.length > 0;
  }
}

const SEVERITIES = new Set(['info', 'warning', 'critical']);
const severityClass = (severity) => (SEVERITIES.has(severity) ? severity : 'none');
const TRANSITIONS = new Set(['fired', 'resolved', 'retracted', 'stale', 'expected', 'confirmed', 'averted', 'withdrawn']);
const transitionClass = (transition) => (TRANSITIONS.has(transition) ? transition : 'fired');

const severityOf = (severity) => (severity ? el('span', { class: `severity ${severityClass(severity)}` }, text(severity)) : null);

/** Elements above the size limit come without their long parts. */
const shortened = ({ cut_bytes: bytes }) => (bytes > 0 ? el('span', { class: 'soft' }, ` shortened: it has ${count(bytes)} bytes`) : null);

export function alertList(root, { onOpen }) {
  const row = (record) => {
    const alert = record.alert ?? {};
    const station = alert.station ?? {};
    return el('li', { class: `alert ${transitionClass(alert.transition)} ${severityClass(alert.severity)}`, 'data-alert-id': text(alert.alert_id) },
      el('button', { type: 'button', onclick: () => onOpen(station.id) },
        el('span', { class: 'line' },
          el('span', { class: `word ${transitionClass(alert.transition)}` }, text(alert.transition)), severityOf(alert.severity),
          el('span', { class: 'mono soft cut' }, text(alert.rule_id)), timeOf(record.timestamp_ms)),
        el('span', { class: 'line' },
          el('b', { class: 'cut' }, text(station.name || station.id)), el('span', { class: 'value' }, Number.isFinite(alert.TMIN) ? temperature(alert.TMIN) : '')),
        el('span', { class: 'message' }, text(alert.message)),
        el('span', { class: 'line soft' }, el('span', { class: 'mono' }, text(station.id)), el('span', {}, day(alert.date)), alert.days > 1 ? el('span', {}, `${count(alert.days)} days in a row`) : null, shortened(record))));
  };
  return new Feed({ root, row, label: 'Newest alerts', empty: {
    title: 'No alerts yet',
    words: 'An alert appears here as soon as an observation matches a rule. To try your rules on history:',
    command: 'frostline rules backtest --topic noaa-json --rules rules.toml' } });
}

/** "value "12a" is no number" and "value "NaN" is no number" are one reason. */
export const reasonKind = (reason) => text(reason)
  .replace(/"[^"]*"|'[^']*'|`[^`]*`/g, '…')
  .replace(/\b[A-Z]{2}[A-Z0-9_]\w{8}\b/g, '…')
  .replace(/[+-]?\d[\d.,:-]*/g, '…')
  .replace(/…(?:\s*…)+/g, '…');

const KINDS_MAX = 6;

export function deadLetterList(root, groups) {
  let chosen = null;
  const row = (letter) => {
    const place = letter.source_partition == null ? '' : `/${letter.source_partition}@${letter.source_offset}`;
    const from = `${letter.source_topic}${place}`;
    return el('li', { class: 'dead' }, el('details', {},
      el('summary', {},
        el('span', { class: 'reason' }, text(letter.reason)),
        el('span', { class: 'line soft' }, el('span', { class: 'chip' }, text(letter.stage)), el('span', { class: 'mono cut', title: from }, from), timeOf(letter.timestamp_ms))),
      el('dl', { class: 'letter' },
        el('dt', {}, 'Key'), el('dd', { class: 'mono' }, letter.key === null ? el('i', {}, 'none') : text(letter.key)),
        el('dt', {}, 'Value'), el('dd', {}, el('pre', { tabindex: 0 }, text(letter.value) || '(empty)')),
        el('dt', {}, 'Dead letter'), el('dd', { class: 'mono' }, `${letter.partition}@${letter.offset}`, shortened(letter)))));
  };
  const feed = new Feed({ root, row, label: 'Dead letters', empty: {
    title: 'No dead letters',
    words: 'Every record so far could be processed. A record that cannot be appears here with its reason; the others continue.' } });

  const choose = (kind) => {
    chosen = chosen === kind ? null : kind;
    feed.show((letter) => chosen === null || reasonKind(letter.reason) === chosen);
    drawGroups();
  };
  const drawGroups = () => {
    const focused = groups.contains(document.activeElement) ? document.activeElement.dataset.kind : null;
    const kinds = new Map();
    for (const { reason } of feed.records) kinds.set(reasonKind(reason), (kinds.get(reasonKind(reason)) ?? 0) + 1);
    const sorted = [...kinds].sort(([, a], [, b]) => b - a);
    const shown = sorted.filter(([kind], index) => index < KINDS_MAX || kind === chosen);
    const rest = sorted.length - shown.length;
    groups.replaceChildren(
      ...shown.map(([kind, number]) => el('button', { type: 'button', class: 'group', 'data-kind': kind, 'aria-pressed': String(kind === chosen), onclick: () => choose(kind) }, el('b', {}, count(number)), el('span', {}, kind))),
      ...(rest > 0 ? [el('span', { class: 'soft' }, `${plural(rest, 'rarer reason')}`)] : []));
    groups.hidden = sorted.length === 0;
    if (focused !== null) [...groups.children].find((node) => node.dataset.kind === focused)?.focus();
  };
  drawGroups();
  return {
    records: () => feed.records,
    load(records) { feed.load(records); drawGroups(); },
    add(record) { if (feed.add(record)) drawGroups(); },
    fail: (message) => feed.fail(message),
  };
}

// An alert's id is RULE/STATION/DATE/transition: what it is about is in the middle.
const stationOfAlertId = (id) => text(id).split('/').at(1);
const OUTCOMES = new Set(['sent', 'failed', 'suppressed']);
const ALERT_IDS_SHOWN = 3;

export function deliveryList(root, { onOpen }) {
  const about = (ids) => {
    const unique = [...new Set(ids ?? [])];
    return el('span', { class: 'about' },
      ...unique.slice(0, ALERT_IDS_SHOWN).map((id) => el('button', { type: 'button', class: 'link mono cut', title: text(id), onclick: () => onOpen(stationOfAlertId(id)) }, text(id))),
      unique.length > ALERT_IDS_SHOWN ? el('span', { class: 'soft' }, `and ${count(unique.length - ALERT_IDS_SHOWN)} more`) : null);
  };
  const row = (delivery) => el('li', { class: 'delivery' },
    el('span', { class: 'line' },
      el('span', { class: `outcome ${OUTCOMES.has(delivery.outcome) ? delivery.outcome : 'failed'}` }, text(delivery.outcome)),
      el('b', { class: 'cut' }, text(delivery.recipient)), el('span', { class: 'soft' }, `by ${text(delivery.channel)}`), timeOf(delivery.timestamp_ms)),
    el('span', { class: 'why' }, [delivery.reason, delivery.answer].filter(Boolean).map(text).join(' · '), delivery.attempts > 1 ? ` (${plural(delivery.attempts, 'attempt')})` : '', shortened(delivery)),
    about(delivery.alert_ids));
  return new Feed({ root, row, label: 'Notifications', empty: {
    title: 'No notifications yet',
    words: 'They appear here with their outcome when an alert is sent to a subscriber. Rules name their subscribers:',
    command: 'subscribers = ["anna"]' } });
}

function ruleRow(rule) {
  const condition = (name, value) => (value ? el('div', {}, el('dt', {}, name), el('dd', { class: 'mono' }, text(value))) : null);
  const timing = [
    rule.for_days > 1 ? `${count(rule.for_days)} days in a row` : null,
    rule.repeat_days ? `again every ${plural(rule.repeat_days, 'day')}` : null,
  ].filter(Boolean).join(', ');
  return el('li', { class: `rule ${rule.quarantined ? 'quarantined' : ''}`, 'data-rule-id': text(rule.id) },
    el('span', { class: 'line' },
      el('b', { class: 'mono cut', title: text(rule.id) }, text(rule.id)), el('span', { class: 'soft' }, `v${text(rule.version)}`), severityOf(rule.severity),
      el('span', { class: rule.standing > 0 ? 'stands some' : 'stands' }, rule.standing > 0 ? `${count(rule.standing)} standing` : 'quiet')),
    el('dl', {}, condition('when', rule.when), condition('clear', rule.clear), condition('place', rule.place)),
    el('span', { class: 'line soft wrap' },
      rule.subscribers?.length ? el('span', {}, `notifies ${rule.subscribers.map(text).join(', ')}`) : el('span', {}, 'no subscribers'), timing ? el('span', {}, timing) : null),
    rule.message ? el('span', { class: 'message' }, `“${text(rule.message)}”`) : null,
    rule.quarantined ? el('span', { class: 'wrong' }, `Quarantined: ${text(rule.quarantined)}`) : null);
}

export function ruleList(root, filter, note) {
  let rules = [];
  let failure = null;
  let isLoaded = false;
  const list = el('ul', { class: 'rows', 'aria-label': 'Rules' });
  const none = emptyState({ title: 'No rules', words: 'No alerts are sent without a rule. Write a rule file, check it and publish it:', command: 'frostline rules apply rules.toml' });
  const unmatched = el('p', { class: 'empty' }, 'No rule contains these words.');
  root.append(list, none, unmatched);

  const wordsOf = (rule) => [rule.id, rule.place, rule.when, rule.clear, rule.severity, rule.message, rule.quarantined && 'quarantined', rule.standing > 0 && 'standing', ...(rule.subscribers ?? [])].filter(Boolean).join(' ').toLowerCase();
  const draw = () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = rules.filter((rule) => words.every((word) => wordsOf(rule).includes(word)));
    list.replaceChildren(...found.slice(0, ROWS_MAX).map(ruleRow));
    list.hidden = found.length === 0;
    none.hidden = !isLoaded || rules.length > 0;
    unmatched.hidden = rules.length === 0 || found.length > 0;
    if (failure && !rules.length) none.replaceChildren(el('strong', {}, 'The rules could not be loaded'), el('p', {}, failure));
    setText(note, found.length > ROWS_MAX ? `${ROWS_MAX} of ${count(found.length)} shown` : words.length ? `${count(found.length)} of ${count(rules.length)}` : '');
  };
  filter.addEventListener('input', draw);
  draw();
  let drawn = '';
  return {
    rules: () => rules,
    // Those with an alert first, then by name; unchanged rules are kept in place, so that the reader does not lose their position.
    load(all) {
      const sorted = [...all].sort((a, b) => (b.standing > 0) - (a.standing > 0) || text(a.id).localeCompare(text(b.id)));
      const now = JSON.stringify(sorted);
      isLoaded = true;
      if (now === drawn) return;
      drawn = now;
      rules = sorted;
      draw();
    },
    fail(message) { failure = message; isLoaded = true; draw(); },
  };
}
