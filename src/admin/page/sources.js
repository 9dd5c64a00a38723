// The weather services that the daemon polls: the age of their newest data, and their errors.

import { byId, count, el, span } from './dom.js';

const PHASES = { standby: 'polled by another process', opening: 'starting', polling: 'polling', waiting: 'waiting', failing: 'failing' };

function row({ source, phase, age_seconds: age, records, is_late: isLate, failure, remark }) {
  const isStandby = phase === 'standby';
  const facts = [
    isStandby ? null : Number.isFinite(age) ? `newest data ${span(age)} old` : 'no data yet',
    isStandby ? null : `${count(records)} records since the start`,
    isLate ? 'late: the newest data are older than allowed' : null,
    failure ?? remark,
  ].filter(Boolean);
  return el('li', { class: isLate || failure ? 'source wrong' : 'source', 'data-source': source, 'data-phase': phase },
    el('b', {}, source), el('span', { class: 'soft' }, PHASES[phase] ?? phase), el('span', {}, facts.join(' · ')));
}

export function showSources(sources) {
  byId('sources').hidden = sources.length === 0;
  byId('sources').replaceChildren(...sources.map(row));
}
