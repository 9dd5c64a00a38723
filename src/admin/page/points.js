// The stations as columns: their places on the map, their temperatures, and standing alerts.

// Bounds of the colours in °C: finest around the frost line, where it matters.
const EDGES = [-20, -10, -5, -2, 0, 2, 5, 10, 20];
export const BINS = EDGES.length + 1;
const UNKNOWN = BINS;

// Bounds of the colours of chances, in percent: as many as of temperatures. The first colour is the highest chance's.
export const CHANCE_EDGES = [1, 5, 10, 20, 30, 40, 50, 70, 90];

// Cold blues against warm oranges stay apart for every common colour blindness. By day the frost line is the lightest
// that the land behind still sets off; by night it is what glows.
export const PALETTE = {
  light: {
    sea: '#f4f8fb', land: '#dfe8ef', coast: '#b9c8d4', border: '#c3d0da', state: '#b2c2cf', arizona: '#5f7f98', grid: '#e6edf3',
    ring: '#c81e45', casing: '#ffffff', mark: '#0d2233', unknown: '#9fb0bd',
    scale: ['#14306f', '#1a55ad', '#2a7ccf', '#479ce1', '#70b8ee', '#f1b65a', '#e5933a', '#cf6d1e', '#ad4c12', '#823411'],
    chance: ['#440154', '#482878', '#3e4a89', '#31688e', '#26828e', '#1f9e89', '#35b779', '#6ece58', '#a2c11f', '#d0b317'],
  },
  dark: {
    sea: '#0b1520', land: '#182839', coast: '#2c4359', border: '#26394c', state: '#31495f', arizona: '#6d93b3', grid: '#101d2a',
    ring: '#ff5d7d', casing: '#0b1520', mark: '#ffffff', unknown: '#4b6072',
    scale: ['#4a63e6', '#4a86f0', '#64acf7', '#94cdfb', '#cde9ff', '#ffe7c0', '#ffc673', '#fb9d40', '#e9722a', '#c8501c'],
    chance: ['#fde725', '#c5e021', '#8fd744', '#4ac16d', '#27ad81', '#21918c', '#2c728e', '#3a5a95', '#4f53a5', '#6a4fae'],
  },
};

export const LEGEND = EDGES;

// Patterson's cylindrical projection: the poles stay modest, north is up everywhere, and zooming needs no new projection.
const [C1, C2, C3, C4] = [1.0148, 0.23185, -0.14499, 0.02406];
const RADIANS = Math.PI / 180;
export const projectX = (longitude) => longitude * RADIANS;
export function projectY(latitude) {
  const p = latitude * RADIANS;
  const p2 = p * p;
  return -p * (C1 + p2 * p2 * (C2 + p2 * (C3 + p2 * C4)));
}

// The plane in cells, to find the station under the pointer without checking all of them.
const CELL = 0.01;
const COLUMNS = Math.ceil((2 * Math.PI) / CELL) + 1;
const ROWS = Math.ceil(3.6 / CELL) + 1;
const column = (x) => Math.min(COLUMNS - 1, Math.max(0, Math.floor((x + Math.PI) / CELL)));
const row = (y) => Math.min(ROWS - 1, Math.max(0, Math.floor((y + 1.8) / CELL)));

function binOf(celsius) {
  if (!Number.isFinite(celsius)) return UNKNOWN;
  let bin = 0;
  while (bin < EDGES.length && celsius >= EDGES[bin]) bin += 1;
  return bin;
}

export class Points {
  /** Takes the columns of /stations; a station without a place stays known, and off the map. */
  constructor(columns) {
    this.ids = Array.isArray(columns?.id) ? columns.id : [];
    const length = this.ids.length;
    this.length = length;
    this.x = new Float32Array(length);
    this.y = new Float32Array(length);
    this.celsius = new Float32Array(length).fill(NaN);
    this.bin = new Uint8Array(length).fill(UNKNOWN);
    this.dates = new Array(length).fill(null);
    this.index = new Map();
    this.placed = 0;
    /** The stations where an alert stands. */
    this.standing = new Set();
    this.#take(columns);
    this.#sortIntoCells();
    this.order = new Uint32Array(this.placed);
    this.isOrderOld = true;
  }

  #take({ latitude = [], longitude = [], tmin = [], date = [] } = {}) {
    for (let at = 0; at < this.length; at += 1) {
      this.index.set(this.ids[at], at);
      const [lat, lon] = [latitude[at], longitude[at]];
      const hasPlace = Number.isFinite(lat) && Number.isFinite(lon) && Math.abs(lat) <= 90 && Math.abs(lon) <= 180;
      this.x[at] = hasPlace ? projectX(lon) : NaN;
      this.y[at] = hasPlace ? projectY(lat) : NaN;
      if (hasPlace) this.placed += 1;
      if (Number.isFinite(tmin[at])) this.#setCelsius(at, tmin[at]);
      this.dates[at] = date[at] ?? null;
    }
  }

  #setCelsius(at, celsius) {
    this.celsius[at] = celsius;
    this.bin[at] = binOf(celsius);
  }

  /** Counting sort by cell: stations of cell c are members[starts[c]..starts[c + 1]]. */
  #sortIntoCells() {
    this.starts = new Uint32Array(COLUMNS * ROWS + 1);
    const cellOf = (at) => row(this.y[at]) * COLUMNS + column(this.x[at]);
    for (let at = 0; at < this.length; at += 1) if (this.hasPlace(at)) this.starts[cellOf(at) + 1] += 1;
    for (let cell = 0; cell < COLUMNS * ROWS; cell += 1) this.starts[cell + 1] += this.starts[cell];
    const next = this.starts.slice();
    this.members = new Uint32Array(this.placed);
    for (let at = 0; at < this.length; at += 1) if (this.hasPlace(at)) this.members[next[cellOf(at)]++] = at;
  }

  hasPlace(at) { return !Number.isNaN(this.x[at]); }

  find(id) { return this.index.get(id); }

  /** New observations [[id, date, TMIN], …]; true if a colour changed. */
  observe(changes) {
    let changed = false;
    for (const [id, date, celsius] of changes) {
      const at = this.find(id);
      if (at === undefined) continue;
      const before = this.bin[at];
      this.#setCelsius(at, Number.isFinite(celsius) ? celsius : NaN);
      this.dates[at] = date ?? null;
      changed ||= before !== this.bin[at];
    }
    this.isOrderOld ||= changed;
    return changed;
  }

  /** Stations in the order of drawing: unknown ones below, then from warm to cold, so that the coldest lie on top. */
  drawingOrder() {
    if (!this.isOrderOld) return this.order;
    const starts = new Uint32Array(BINS + 2);
    for (let at = 0; at < this.length; at += 1) if (this.hasPlace(at)) starts[UNKNOWN - this.bin[at] + 1] += 1;
    for (let rank = 0; rank <= BINS; rank += 1) starts[rank + 1] += starts[rank];
    for (let at = 0; at < this.length; at += 1) if (this.hasPlace(at)) this.order[starts[UNKNOWN - this.bin[at]]++] = at;
    this.isOrderOld = false;
    return this.order;
  }

  /** Gives each station the colour with the number that binOf(id) says, or null where it is unknown. */
  paint(binOfStation) {
    this.ids.forEach((id, at) => { this.bin[at] = binOfStation(id) ?? UNKNOWN; });
    this.isOrderOld = true;
  }

  /** Replaces the stations where an alert stands; true if there are others than before. */
  setStanding(ids) {
    const before = this.standing;
    this.standing = new Set(ids.map((id) => this.find(id)).filter((at) => at !== undefined));
    return this.standing.size !== before.size || [...this.standing].some((at) => !before.has(at));
  }

  /** The station nearest to (x, y) of the plane within a distance; one with an alert is preferred. */
  nearest(x, y, within) {
    let best = -1;
    let bestDistance = Infinity;
    const limit = within * within;
    for (let r = row(y - within); r <= row(y + within); r += 1) {
      const from = this.starts[r * COLUMNS + column(x - within)];
      const to = this.starts[r * COLUMNS + column(x + within) + 1];
      for (let member = from; member < to; member += 1) {
        const at = this.members[member];
        const [dx, dy] = [this.x[at] - x, this.y[at] - y];
        const distance = dx * dx + dy * dy;
        if (distance > limit) continue;
        const rank = this.standing.has(at) ? distance * 0.2 : distance;
        if (rank < bestDistance) [best, bestDistance] = [at, rank];
      }
    }
    return best;
  }

  /** Up to `limit` ids that begin with the text, then those that contain it. */
  search(text, limit) {
    const wanted = text.trim().toUpperCase();
    const found = [];
    const inside = [];
    if (!wanted) return found;
    for (const id of this.ids) {
      if (id.startsWith(wanted)) found.push(id);
      else if (inside.length < limit && id.includes(wanted)) inside.push(id);
      if (found.length >= limit) break;
    }
    return found.concat(inside).slice(0, limit);
  }
}
