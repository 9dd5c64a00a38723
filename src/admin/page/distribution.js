// How cold a night may become, from an outlook's table of quantiles: the same arithmetic as in the daemon
// (src/outlook/distribution.rs and station.rs), so that rules, scores and this page agree.

const PROBABILITIES = [0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.975, 0.99, 0.995];
const LAST = PROBABILITIES.length - 1;
const HALF_HOUR_MS = 1_800_000;
const HOUR_MS = 3_600_000;

const isKnown = (value) => typeof value === 'number' && Number.isFinite(value);
const between = (share, from, to) => from + share * (to - from);

/** Whether an outlook has a table that can be read. */
export const hasTable = (night) => Array.isArray(night?.quantiles_c) && night.quantiles_c.length === LAST + 1 && night.quantiles_c.every(isKnown);

/** The table read as probability → °C. */
export function quantile({ quantiles_c: table, lowest_so_far_c: lowest }, probability) {
  const above = PROBABILITIES.findIndex((known) => known >= probability);
  let found;
  if (above === 0) [found] = table;
  else if (above < 0) found = table[LAST];
  else {
    const [low, high] = [PROBABILITIES[above - 1], PROBABILITIES[above]];
    found = between((probability - low) / (high - low), table[above - 1], table[above]);
  }
  return isKnown(lowest) ? Math.min(found, lowest) : found;
}

function below(table, limit) {
  if (limit >= table[LAST]) {
    const width = table[LAST] - table[LAST - 1];
    return between(width > 0 ? Math.min((limit - table[LAST]) / width, 1) : 1, PROBABILITIES[LAST], 1);
  }
  const above = table.findIndex((value) => value > limit);
  if (above === 0) {
    const width = table[1] - table[0];
    return (width > 0 ? Math.max(1 - (table[0] - limit) / width, 0) : 0) * PROBABILITIES[0];
  }
  const share = (limit - table[above - 1]) / (table[above] - table[above - 1]);
  return between(share, PROBABILITIES[above - 1], PROBABILITIES[above]);
}

/** The chance, 0 to 1, that the night's lowest report is `limit` °C or colder; 1 once it has been. */
export function chance({ quantiles_c: table, lowest_so_far_c: lowest, reported_in: degrees }, limit) {
  if (isKnown(lowest) && lowest <= limit) return 1;
  let reaches = limit;
  // A station that reports 0 °C in whole degrees may have measured up to 0.5.
  if (degrees === 'C') reaches = Math.floor(limit + 0.05) + 0.5;
  if (degrees === 'F') reaches = (Math.floor(limit * 1.8 + 0.1) + 0.5) / 1.8;
  if (isKnown(lowest)) reaches = Math.min(reaches, (limit + lowest) / 2);
  return below(table, reaches);
}

/**
 * When the temperature comes down to `limit` °C on its way to a quantile of the lowest, in milliseconds since 1970; null
 * where it does not. `time`: when the newest observation was.
 */
export function crossing(expected, limit, time, probability = 0.5) {
  const start = expected.temperature_c;
  if (start <= limit) return time;
  const lowest = Math.min(quantile(expected, probability), start);
  const until = Math.max(time, Date.parse(expected.night?.sunrise) - HALF_HOUR_MS);
  if (lowest > limit || !(until > time)) return null;
  const part = (start - limit) / (start - lowest);
  const bend = Math.min(0.7, Math.max(0, (0.06 * (until - time)) / HOUR_MS));
  const share = (2 * part) / (1 + bend + Math.sqrt((1 + bend) ** 2 - 4 * bend * part));
  return time + share * (until - time);
}
