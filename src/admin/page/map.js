// The map on a canvas. Land and stations are drawn into two layers somewhat larger than the view; moving and zooming
// only copies them, and they are redrawn when the view has come to rest, runs over their edge, or colours change.

import { PALETTE, projectX, projectY } from './points.js';
import { calm } from './dom.js';

const MARGIN = 160;
const ZOOM_MAX = 60_000;
const REST_MS = 110;
// Beyond these scales (pixels a radian) details show.
const STATES_FROM = 260;
const ARCS_FROM_RADIUS = 1.9;
const ARCS_MAX = 9_000;
const PICK_PIXELS = 9;
const FLIGHT_MS = 520;
const PING_MS = 1_500;
const PINGS_MAX = 20;

const WORLD = { west: -180, east: 180, south: -57, north: 79 };

function linePath(lines, scale, closed) {
  const path = new Path2D();
  for (const line of lines) {
    let [x, y] = [line[0], line[1]];
    path.moveTo(projectX(x / scale), projectY(y / scale));
    for (let at = 2; at < line.length; at += 2) {
      x += line[at];
      y += line[at + 1];
      path.lineTo(projectX(x / scale), projectY(y / scale));
    }
    if (closed) path.closePath();
  }
  return path;
}

function worldPath() {
  const path = new Path2D();
  path.rect(projectX(-180), projectY(90), projectX(360), projectY(-90) - projectY(90));
  return path;
}

function gridPath(step) {
  const path = new Path2D();
  for (let longitude = -180; longitude <= 180; longitude += step) {
    path.moveTo(projectX(longitude), projectY(-90));
    path.lineTo(projectX(longitude), projectY(90));
  }
  for (let latitude = -90 + step; latitude < 90; latitude += step) {
    path.moveTo(projectX(-180), projectY(latitude));
    path.lineTo(projectX(180), projectY(latitude));
  }
  return path;
}

/** "#rrggbb" as a pixel of an ImageData, whose bytes are red, green, blue, alpha. */
const pixel = (hex, alpha = 255) => ((alpha << 24) | (parseInt(hex.slice(5, 7), 16) << 16) | (parseInt(hex.slice(3, 5), 16) << 8) | parseInt(hex.slice(1, 3), 16)) >>> 0;

/** Rows of a filled disc of a diameter in pixels: [first, after] of each row. */
function discRows(diameter) {
  if (diameter < 4) return Array.from({ length: diameter }, () => [0, diameter]);
  const radius = diameter / 2;
  return Array.from({ length: diameter }, (_, y) => {
    const half = Math.sqrt(Math.max(0, radius * radius - (y + 0.5 - radius) ** 2));
    return [Math.round(radius - half), Math.round(radius + half)];
  });
}

const ease = (t) => (t < 0.5 ? 4 * t * t * t : 1 - (2 - 2 * t) ** 3 / 2);
const clamp = (value, least, most) => Math.min(most, Math.max(least, value));

export class StationMap {
  #context;
  #land = document.createElement('canvas');
  #dots = document.createElement('canvas');
  #image = null;
  #cached = null;
  #old = { land: true, dots: true };
  #frame = 0;
  #movedAt = -Infinity;
  #restTimer = 0;
  #flight = null;
  #pings = [];
  #pointers = new Map();
  #dragged = 0;
  #pinch = 0;
  #touchedWheelOutsideAt = -Infinity;
  #isFocused = false;
  #lastDrawMs = 0;

  constructor(canvas, { onPick, onHover, onView }) {
    Object.assign(this, { canvas, onPick, onHover, onView, points: null, paths: null, theme: 'light', selected: -1, hovered: -1, rightInset: 0, look: 'scale' });
    this.#context = canvas.getContext('2d', { alpha: false });
    this.view = { x: 0, y: 0, k: 150 };
    this.preset = 'world';
    this.#listen();
    new ResizeObserver(() => this.#resize()).observe(canvas);
    this.#resize();
  }

  setWorld(world) {
    this.paths = {
      world: worldPath(),
      land: linePath(world.land, world.scale, true),
      borders: linePath(world.borders, world.scale, false),
      states: linePath(world.states, world.scale, false),
      arizona: linePath(world.arizona, world.scale, true),
      grid: [[30, 0], [10, 500], [5, 1_500], [1, 6_000]].map(([step, from]) => ({ from, path: gridPath(step) })),
    };
    this.#redraw(true);
  }

  setPoints(points) {
    const selected = this.points?.ids[this.selected];
    this.points = points;
    this.selected = points.find(selected) ?? -1;
    this.hovered = -1;
    this.#redraw(true);
  }

  setTheme(theme) {
    this.theme = theme;
    this.#redraw(true);
  }

  /** Whether colours are temperatures (`scale`) or chances (`chance`, with larger points, hollow where it is unknown). */
  setLook(look) {
    this.look = look;
    this.#redraw(false);
  }

  coloursChanged() { this.#redraw(false); }

  select(at) {
    this.selected = at;
    this.#ask();
  }

  /** A short-lived circle where an alert has just come. */
  ping(at) {
    if (calm() || document.hidden || !this.points?.hasPlace(at)) return;
    this.#pings.push({ at, since: performance.now() });
    if (this.#pings.length > PINGS_MAX) this.#pings.shift();
    this.#ask();
  }

  /** Shows the world, or the stations of which a temperature is known (`data`), if there are any. */
  show(name, { jump = false } = {}) {
    const box = name === 'data' ? this.#boxOf((at) => Number.isFinite(this.points.celsius[at])) : null;
    this.preset = box ? 'data' : 'world';
    if (box) {
      this.#flyTo(box, jump);
    } else {
      const { west, east, south, north } = WORLD;
      const [x0, x1, y0, y1] = [projectX(west), projectX(east), projectY(north), projectY(south)];
      const k = Math.min(this.#room() / (x1 - x0), this.height / (y1 - y0));
      this.#fly({ x: (x0 + x1) / 2, y: (y0 + y1) / 2, k }, jump);
    }
    this.onView(this.preset);
  }

  /** Brings all stations into view. */
  fit({ jump = false } = {}) {
    const box = this.#boxOf(() => true);
    if (!box) return;
    this.#leavePreset();
    this.#flyTo(box, jump);
  }

  /** The smallest box around the stations for which `counts` holds, `null` without any. */
  #boxOf(counts) {
    const { x, y } = this.points ?? { x: [], y: [] };
    let [x0, x1, y0, y1] = [Infinity, -Infinity, Infinity, -Infinity];
    for (let at = 0; at < x.length; at += 1) {
      if (!Number.isFinite(x[at]) || !counts(at)) continue;
      [x0, x1, y0, y1] = [Math.min(x0, x[at]), Math.max(x1, x[at]), Math.min(y0, y[at]), Math.max(y1, y[at])];
    }
    return x0 <= x1 ? [x0, x1, y0, y1] : null;
  }

  #flyTo([x0, x1, y0, y1], jump) {
    const k = 0.86 * Math.min(this.#room() / (x1 - x0), this.height / (y1 - y0), 2_600 / 0.86);
    this.#fly({ x: (x0 + x1) / 2, y: (y0 + y1) / 2, k }, jump);
  }

  /** Brings a station into the part of the view that is not covered on the right. */
  reveal(at, { jump = false, least = 2_600 } = {}) {
    if (!this.points?.hasPlace(at)) return;
    this.#leavePreset();
    this.#fly({ x: this.points.x[at], y: this.points.y[at], k: Math.max(this.view.k, least) }, jump);
  }

  zoomBy(factor) {
    this.#stopFlight();
    this.#leavePreset();
    this.#fly({ ...this.#centreOfRoom(), k: this.view.k * factor }, false);
  }

  // ---- the view -------------------------------------------------------------------------------------------------

  get #colours() {
    const colours = PALETTE[this.theme];
    return { ...colours, scale: colours[this.look] };
  }

  #room() { return Math.max(120, this.width - this.rightInset); }

  #leastZoom() { return Math.min(this.width, 1_600) / (2 * Math.PI) * 0.98; }

  #centreOfRoom() {
    return { x: this.view.x - this.rightInset / 2 / this.view.k, y: this.view.y };
  }

  #setView({ x, y, k }) {
    k = clamp(k, this.#leastZoom(), ZOOM_MAX);
    const halfHeight = this.height / 2 / k;
    // The poles may come to the middle of a view as tall as the world, and no further.
    this.view = { k, x: clamp(x, -Math.PI, Math.PI), y: clamp(y, Math.min(0, -1.79 + halfHeight), Math.max(0, 1.79 - halfHeight)) };
  }

  #leavePreset() {
    if (!this.preset) return;
    this.preset = null;
    this.onView(null);
  }

  #resize() {
    const { width, height } = this.canvas.getBoundingClientRect();
    if (!width || !height) return;
    this.ratio = Math.min(2, devicePixelRatio || 1);
    this.width = width;
    this.height = height;
    this.canvas.width = Math.round(width * this.ratio);
    this.canvas.height = Math.round(height * this.ratio);
    for (const layer of [this.#land, this.#dots]) {
      layer.width = Math.round((width + 2 * MARGIN) * this.ratio);
      layer.height = Math.round((height + 2 * MARGIN) * this.ratio);
    }
    this.#image = new ImageData(this.#dots.width, this.#dots.height);
    if (this.preset) this.show(this.preset, { jump: true });
    else this.#setView(this.view);
    this.#redraw(true);
  }

  #fly(target, jump) {
    // The target's centre is that of the uncovered part; the view's is that of all.
    const end = { x: target.x, y: target.y, k: clamp(target.k, this.#leastZoom(), ZOOM_MAX) };
    end.x += this.rightInset / 2 / end.k;
    if (jump || calm() || this.#lastDrawMs > 40) {
      this.#flight = null;
      this.#setView(end);
      this.#redraw(true);
      return;
    }
    this.#flight = { from: { ...this.view }, to: end, since: performance.now() };
    this.#ask();
  }

  #stopFlight() { this.#flight = null; }

  #advanceFlight(time) {
    const { from, to, since } = this.#flight;
    const t = clamp((time - since) / FLIGHT_MS, 0, 1);
    const k = from.k * (to.k / from.k) ** ease(t);
    // In step with the zoom, so that the target comes closer evenly; without one, straight.
    const share = Math.abs(to.k / from.k - 1) < 0.01 ? ease(t) : (1 / from.k - 1 / k) / (1 / from.k - 1 / to.k);
    this.#setView({ k, x: from.x + (to.x - from.x) * share, y: from.y + (to.y - from.y) * share });
    if (t >= 1) this.#flight = null;
    this.#old.land = this.#old.dots = true;
  }

  // ---- drawing --------------------------------------------------------------------------------------------------

  #redraw(withLand) {
    this.#old.dots = true;
    if (withLand) this.#old.land = true;
    this.#ask();
  }

  #ask() {
    if (!this.#frame) this.#frame = requestAnimationFrame((time) => this.#draw(time));
  }

  /** The view moves under someone's hands: copy now, redraw when it rests. */
  #moved() {
    this.#movedAt = performance.now();
    clearTimeout(this.#restTimer);
    this.#restTimer = setTimeout(() => this.#redraw(true), REST_MS);
    this.#ask();
  }

  #draw(time) {
    this.#frame = 0;
    if (!this.width) return;
    if (this.#flight) this.#advanceFlight(time);
    const isMoving = !this.#flight && performance.now() - this.#movedAt < REST_MS - 10;
    if (isMoving ? !this.#coversView() : this.#old.land || this.#old.dots) this.#drawLayers();
    this.#compose();
    if (this.#flight || this.#pings.length) this.#ask();
  }

  #drawLayers() {
    const began = performance.now();
    const { x, y, k } = this.view;
    const isElsewhere = !this.#cached || this.#cached.x !== x || this.#cached.y !== y || this.#cached.k !== k;
    const isFull = isElsewhere || this.#old.land;
    this.#cached = { x, y, k };
    if (isFull) this.#drawLand();
    const inView = this.points ? this.#drawDots() : 0;
    this.#old.land = this.#old.dots = false;
    const facts = document.documentElement.dataset;
    if (isFull) {
      this.#lastDrawMs = performance.now() - began;
      facts.mapDrawMs = this.#lastDrawMs.toFixed(1);
    }
    facts.mapStations = String(this.points?.placed ?? 0);
    facts.mapStationsInView = String(inView);
  }

  #toLayer(context) {
    const scale = this.view.k * this.ratio;
    const [left, top] = this.#layerOrigin();
    context.setTransform(scale, 0, 0, scale, -left * scale, -top * scale);
    return 1 / this.view.k;
  }

  /** The point of the plane at the upper left corner of the layers. */
  #layerOrigin() {
    const { x, y, k } = this.view;
    return [x - (this.width / 2 + MARGIN) / k, y - (this.height / 2 + MARGIN) / k];
  }

  #drawLand() {
    const context = this.#land.getContext('2d', { alpha: false });
    const colours = this.#colours;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = colours.sea;
    context.fillRect(0, 0, this.#land.width, this.#land.height);
    if (!this.paths) return;
    const hair = this.#toLayer(context);
    const stroke = (path, colour, width) => {
      context.strokeStyle = colour;
      context.lineWidth = width * hair;
      context.stroke(path);
    };
    context.lineJoin = 'round';
    context.save();
    context.clip(this.paths.world);
    stroke(this.paths.grid.findLast(({ from }) => this.view.k >= from).path, colours.grid, 1);
    context.fillStyle = colours.land;
    context.fill(this.paths.land);
    stroke(this.paths.borders, colours.border, 0.8);
    stroke(this.paths.land, colours.coast, 0.9);
    if (this.view.k > STATES_FROM) {
      stroke(this.paths.states, colours.state, 0.8);
      stroke(this.paths.arizona, colours.arizona, this.view.k > 1_000 ? 1.6 : 1);
    }
    context.restore();
  }

  #radius() {
    // Stations with outlooks are few: they may be larger.
    const [factor, least, most] = this.look === 'chance' ? [1.9, 2, 7.5] : [0.62, 0.6, 5.5];
    return clamp(factor * (this.view.k / 150) ** 0.45, least, most);
  }

  /** Draws the stations into their layer; how many lie in it. */
  #drawDots() {
    const context = this.#dots.getContext('2d');
    context.setTransform(1, 0, 0, 1, 0, 0);
    const radius = this.#radius();
    const visible = radius >= ARCS_FROM_RADIUS ? this.#visible(ARCS_MAX) : null;
    const inView = visible ? this.#drawArcs(context, visible, radius) : this.#stamp(context, radius);
    this.#drawRings(context, radius);
    return inView;
  }

  /** The stations in the layer in the order of drawing, or null if they are more than `most`. */
  #visible(most) {
    const { x, y } = this.points;
    const [left, top] = this.#layerOrigin();
    const right = left + (this.width + 2 * MARGIN) / this.view.k;
    const bottom = top + (this.height + 2 * MARGIN) / this.view.k;
    const found = [];
    for (const at of this.points.drawingOrder()) {
      if (x[at] < left || x[at] > right || y[at] < top || y[at] > bottom) continue;
      if (found.length === most) return null;
      found.push(at);
    }
    return found;
  }

  /** Few stations: smooth circles, one path for all of a colour. */
  #drawArcs(context, visible, radius) {
    const { x, y, bin } = this.points;
    const [left, top] = this.#layerOrigin();
    const scale = this.view.k * this.ratio;
    const r = radius * this.ratio;
    const colours = [...this.#colours.scale, this.#colours.unknown];
    context.clearRect(0, 0, this.#dots.width, this.#dots.height);
    for (let from = 0; from < visible.length;) {
      const colour = bin[visible[from]];
      context.beginPath();
      for (; from < visible.length && bin[visible[from]] === colour; from += 1) {
        const px = (x[visible[from]] - left) * scale;
        const py = (y[visible[from]] - top) * scale;
        context.moveTo(px + r, py);
        context.arc(px, py, r, 0, 2 * Math.PI);
      }
      if (this.look === 'chance' && colour === colours.length - 1) {
        context.strokeStyle = colours[colour];
        context.lineWidth = 1.6 * this.ratio;
        context.stroke();
        continue;
      }
      context.fillStyle = colours[colour];
      context.fill();
    }
    return visible.length;
  }

  /** Many stations: pixels written straight into an image. */
  #stamp(context, radius) {
    const { x, y, bin } = this.points;
    const { width, height, data } = this.#image;
    const pixels = new Uint32Array(data.buffer);
    const [left, top] = this.#layerOrigin();
    const scale = this.view.k * this.ratio;
    const diameter = Math.max(1, Math.round(2 * radius * this.ratio));
    const rows = discRows(diameter);
    const colours = Uint32Array.from([...this.#colours.scale.map((hex) => pixel(hex)), pixel(this.#colours.unknown, 190)]);
    const [xMost, yMost, half] = [width - diameter, height - diameter, diameter / 2];
    let inView = 0;
    pixels.fill(0);
    for (const at of this.points.drawingOrder()) {
      const px = Math.round((x[at] - left) * scale - half);
      const py = Math.round((y[at] - top) * scale - half);
      if (px < 0 || py < 0 || px > xMost || py > yMost) continue;
      const colour = colours[bin[at]];
      for (let line = 0; line < diameter; line += 1) {
        const start = (py + line) * width + px;
        for (let dot = start + rows[line][0]; dot < start + rows[line][1]; dot += 1) pixels[dot] = colour;
      }
      inView += 1;
    }
    context.putImageData(this.#image, 0, 0);
    return inView;
  }

  #ringRadius(radius) { return Math.max(3.6, radius + 2.6); }

  #drawRings(context, radius) {
    const [left, top] = this.#layerOrigin();
    const scale = this.view.k * this.ratio;
    const r = this.#ringRadius(radius) * this.ratio;
    const rings = new Path2D();
    for (const at of this.points.standing) {
      const px = (this.points.x[at] - left) * scale;
      const py = (this.points.y[at] - top) * scale;
      if (!(px > -r && py > -r && px < this.#dots.width + r && py < this.#dots.height + r)) continue;
      rings.moveTo(px + r, py);
      rings.arc(px, py, r, 0, 2 * Math.PI);
    }
    context.strokeStyle = this.#colours.casing;
    context.lineWidth = 3.6 * this.ratio;
    context.stroke(rings);
    context.strokeStyle = this.#colours.ring;
    context.lineWidth = 1.7 * this.ratio;
    context.stroke(rings);
  }

  /** Where the cached layers lie in the window now: left, top, and their scale. */
  #layerPlace() {
    const s = this.view.k / this.#cached.k;
    return {
      s,
      left: (this.#cached.x - this.view.x) * this.view.k + this.width / 2 - (MARGIN + this.width / 2) * s,
      top: (this.#cached.y - this.view.y) * this.view.k + this.height / 2 - (MARGIN + this.height / 2) * s,
    };
  }

  #coversView() {
    if (!this.#cached) return false;
    const { s, left, top } = this.#layerPlace();
    const isWide = left <= 0 && top <= 0 && left + (this.width + 2 * MARGIN) * s >= this.width && top + (this.height + 2 * MARGIN) * s >= this.height;
    return isWide && s < 3 && s > 0.5;
  }

  #compose() {
    const context = this.#context;
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    context.fillStyle = this.#colours.sea;
    context.fillRect(0, 0, this.width, this.height);
    if (!this.#cached) return;
    const { s, left, top } = this.#layerPlace();
    const snap = s === 1 ? (value) => Math.round(value * this.ratio) / this.ratio : (value) => value;
    for (const layer of [this.#land, this.#dots]) {
      context.drawImage(layer, snap(left), snap(top), (layer.width / this.ratio) * s, (layer.height / this.ratio) * s);
    }
    this.#drawPings(context);
    this.#drawMark(context, this.hovered, 1.5);
    this.#drawMark(context, this.selected, 2.5);
    if (this.#isFocused) this.#drawCross(context);
  }

  #onScreen(at) {
    return [(this.points.x[at] - this.view.x) * this.view.k + this.width / 2, (this.points.y[at] - this.view.y) * this.view.k + this.height / 2];
  }

  #drawMark(context, at, width) {
    if (at < 0 || !this.points?.hasPlace(at)) return;
    const [x, y] = this.#onScreen(at);
    const radius = this.#radius();
    const circle = (r, colour, line) => {
      context.beginPath();
      context.arc(x, y, r, 0, 2 * Math.PI);
      context.strokeStyle = colour;
      context.lineWidth = line;
      context.stroke();
    };
    context.beginPath();
    context.arc(x, y, Math.max(3, radius), 0, 2 * Math.PI);
    context.fillStyle = [...this.#colours.scale, this.#colours.unknown][this.points.bin[at]];
    context.fill();
    const outer = this.points.standing.has(at) ? this.#ringRadius(radius) + 3.4 : this.#ringRadius(radius);
    circle(outer, this.#colours.casing, width + 2.4);
    circle(outer, this.#colours.mark, width);
  }

  #drawPings(context) {
    const time = performance.now();
    this.#pings = this.#pings.filter(({ since }) => time - since < PING_MS);
    context.strokeStyle = this.#colours.ring;
    for (const { at, since } of this.#pings) {
      const share = (time - since) / PING_MS;
      const [x, y] = this.#onScreen(at);
      context.globalAlpha = (1 - share) ** 2;
      context.lineWidth = 2;
      context.beginPath();
      context.arc(x, y, 4 + 26 * Math.sqrt(share), 0, 2 * Math.PI);
      context.stroke();
    }
    context.globalAlpha = 1;
  }

  #drawCross(context) {
    const [x, y] = [Math.round(this.#room() / 2) + 0.5, Math.round(this.height / 2) + 0.5];
    context.strokeStyle = this.#colours.mark;
    context.globalAlpha = 0.55;
    context.lineWidth = 1;
    context.beginPath();
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      context.moveTo(x + 4 * dx, y + 4 * dy);
      context.lineTo(x + 10 * dx, y + 10 * dy);
    }
    context.stroke();
    context.globalAlpha = 1;
  }

  // ---- hands ----------------------------------------------------------------------------------------------------

  #plane(px, py) {
    return [this.view.x + (px - this.width / 2) / this.view.k, this.view.y + (py - this.height / 2) / this.view.k];
  }

  #place(event) {
    const box = this.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  #pick(px, py, within = PICK_PIXELS) {
    if (!this.points) return -1;
    const [x, y] = this.#plane(px, py);
    return this.points.nearest(x, y, within / this.view.k);
  }

  /** Zooms so that what is under (px, py) stays there. */
  #zoomAt(px, py, factor) {
    const k = clamp(this.view.k * factor, this.#leastZoom(), ZOOM_MAX);
    const [x, y] = this.#plane(px, py);
    this.#setView({ k, x: x - (px - this.width / 2) / k, y: y - (py - this.height / 2) / k });
    this.#leavePreset();
    this.#moved();
  }

  #pan(dx, dy) {
    this.#stopFlight();
    this.#setView({ k: this.view.k, x: this.view.x - dx / this.view.k, y: this.view.y - dy / this.view.k });
    this.#leavePreset();
    this.#moved();
  }

  #hover(at, event) {
    if (at !== this.hovered) {
      this.hovered = at;
      this.canvas.classList.toggle('over', at >= 0);
      this.#ask();
    }
    this.onHover(at, event);
  }

  #listen() {
    const on = (name, act, options) => this.canvas.addEventListener(name, act, options);
    on('pointerdown', (event) => this.#pointerDown(event));
    on('pointermove', (event) => this.#pointerMove(event));
    on('pointerup', (event) => this.#pointerUp(event));
    on('pointercancel', (event) => this.#pointers.delete(event.pointerId));
    on('pointerleave', () => this.#hover(-1, null));
    on('wheel', (event) => this.#wheel(event), { passive: false });
    on('keydown', (event) => this.#key(event));
    on('focus', () => { this.#isFocused = this.canvas.matches(':focus-visible'); this.#ask(); });
    on('blur', () => { this.#isFocused = false; this.#ask(); });
    // A page that is being scrolled must not get caught by a map that comes under the wheel.
    addEventListener('wheel', (event) => {
      if (event.target !== this.canvas) this.#touchedWheelOutsideAt = performance.now();
    }, { passive: true });
  }

  #pointerDown(event) {
    if (event.button > 0) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.#pointers.set(event.pointerId, this.#place(event));
    this.#dragged = this.#pointers.size > 1 ? Infinity : 0;
    this.#pinch = 0;
    this.#stopFlight();
  }

  #pointerMove(event) {
    const place = this.#place(event);
    const before = this.#pointers.get(event.pointerId);
    if (!before) {
      if (event.pointerType === 'mouse') this.#hover(this.#pick(...place), event);
      return;
    }
    this.#pointers.set(event.pointerId, place);
    if (this.#pointers.size === 2) return this.#pinchMove();
    const [dx, dy] = [place[0] - before[0], place[1] - before[1]];
    this.#dragged += Math.hypot(dx, dy);
    if (this.#dragged < 4) return;
    this.#hover(-1, null);
    this.canvas.classList.add('dragged');
    this.#pan(dx, dy);
  }

  #pinchMove() {
    const [[ax, ay], [bx, by]] = [...this.#pointers.values()];
    const now = { distance: Math.hypot(ax - bx, ay - by), x: (ax + bx) / 2, y: (ay + by) / 2 };
    if (this.#pinch) {
      this.#pan(now.x - this.#pinch.x, now.y - this.#pinch.y);
      this.#zoomAt(now.x, now.y, now.distance / Math.max(1, this.#pinch.distance));
    }
    this.#pinch = now;
  }

  #pointerUp(event) {
    const wasDown = this.#pointers.delete(event.pointerId);
    this.#pinch = 0;
    this.canvas.classList.remove('dragged');
    if (!wasDown || this.#dragged >= 4) return;
    const at = this.#pick(...this.#place(event), event.pointerType === 'mouse' ? PICK_PIXELS : 18);
    if (at >= 0) this.onPick(at);
  }

  #wheel(event) {
    const isLeaving = event.deltaY > 0 && this.view.k <= this.#leastZoom() * 1.001;
    const isScrolling = performance.now() - this.#touchedWheelOutsideAt < 350;
    if (!event.ctrlKey && (isLeaving || isScrolling)) {
      this.#touchedWheelOutsideAt = isLeaving ? -Infinity : performance.now();
      return;
    }
    event.preventDefault();
    this.#stopFlight();
    const pixels = event.deltaY * [1, 18, 300][event.deltaMode];
    this.#zoomAt(...this.#place(event), Math.exp(-clamp(pixels, -240, 240) * (event.ctrlKey ? 0.01 : 0.0022)));
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = event.shiftKey ? 240 : 80;
    const acts = {
      ArrowLeft: () => this.#pan(step, 0),
      ArrowRight: () => this.#pan(-step, 0),
      ArrowUp: () => this.#pan(0, step),
      ArrowDown: () => this.#pan(0, -step),
      '+': () => this.zoomBy(1.6),
      '=': () => this.zoomBy(1.6),
      '-': () => this.zoomBy(1 / 1.6),
      0: () => this.show('world'),
      Enter: () => this.#pickMiddle(),
    };
    const act = acts[event.key];
    if (!act) return;
    event.preventDefault();
    this.#isFocused = true;
    act();
  }

  #pickMiddle() {
    const [x, y] = [this.#room() / 2, this.height / 2];
    for (const within of [20, 60, 200, 600]) {
      const at = this.#pick(x, y, within);
      if (at >= 0) return this.onPick(at);
    }
    return undefined;
  }
}
