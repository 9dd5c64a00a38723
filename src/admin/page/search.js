// Finds a station by a part of its name, state or country, or by its id: a text field with a list under it.

import { get } from './api.js';
import { el } from './dom.js';

const ASK_AFTER_MS = 160;
const FOUND_MAX = 12;

export class StationSearch {
  #input;
  #list;
  #found = [];
  #active = -1;
  #asked = 0;
  #timer = 0;
  /** The text for which #found holds. */
  #foundFor = null;

  /** onOpen(id); ids(text, limit): what the page itself knows, where the daemon does not answer. */
  constructor({ form, input, list, ids, onOpen }) {
    Object.assign(this, { ids, onOpen });
    [this.#input, this.#list] = [input, list];
    input.addEventListener('input', () => this.#typed());
    input.addEventListener('keydown', (event) => this.#key(event));
    input.addEventListener('blur', () => this.#hide());
    input.addEventListener('focus', () => { if (this.#found.length && this.#foundFor === this.#text()) this.#draw(); });
    // The field must not lose the focus before the click arrives.
    list.addEventListener('pointerdown', (event) => event.preventDefault());
    list.addEventListener('click', (event) => {
      const at = [...list.children].indexOf(event.target.closest('[role=option]'));
      if (this.#found[at]) this.#open(this.#found[at].id);
    });
    form.addEventListener('submit', (event) => { event.preventDefault(); this.#submit(); });
  }

  #text() { return this.#input.value.trim(); }

  #typed() {
    clearTimeout(this.#timer);
    if (!this.#text()) return this.#hide();
    this.#timer = setTimeout(() => this.#look().then((isNewest) => isNewest && this.#draw()), ASK_AFTER_MS);
  }

  /** Asks for what is typed; false if something else was typed meanwhile. */
  async #look() {
    const asked = ++this.#asked;
    const text = this.#text();
    let found;
    try {
      found = await get(`search?limit=${FOUND_MAX}&text=${encodeURIComponent(text)}`);
    } catch {
      found = [];
    }
    if (!Array.isArray(found) || !found.length) found = this.ids(text, FOUND_MAX).map((id) => ({ id }));
    if (asked !== this.#asked) return false;
    [this.#found, this.#foundFor, this.#active] = [found, text, -1];
    return true;
  }

  #draw() {
    if (document.activeElement !== this.#input) return;
    const option = ({ id, name, state, country, has_data: hasData }, at) => el('li', { role: 'option', id: `found-${at}`, 'aria-selected': String(at === this.#active), class: hasData === false ? 'no-data' : null },
      el('span', {}, name || id), el('span', { class: 'soft' }, [state, country].filter(Boolean).join(', ')), el('span', { class: 'mono soft' }, id));
    const options = this.#found.map(option);
    this.#list.replaceChildren(...(options.length ? options : [el('li', { class: 'soft nothing' }, 'No station matches')]));
    this.#list.hidden = false;
    this.#input.setAttribute('aria-expanded', 'true');
    if (this.#active >= 0) this.#input.setAttribute('aria-activedescendant', `found-${this.#active}`);
    else this.#input.removeAttribute('aria-activedescendant');
    options[this.#active]?.scrollIntoView({ block: 'nearest' });
  }

  #hide() {
    this.#list.hidden = true;
    this.#input.setAttribute('aria-expanded', 'false');
    this.#input.removeAttribute('aria-activedescendant');
  }

  #key(event) {
    if (event.key === 'Escape') return this.#hide();
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step || !this.#found.length || this.#foundFor !== this.#text()) return undefined;
    event.preventDefault();
    const choices = this.#found.length + 1;
    // One place is the field itself.
    this.#active = ((this.#active + 1 + step + choices) % choices) - 1;
    return this.#draw();
  }

  async #submit() {
    clearTimeout(this.#timer);
    if (!this.#text()) return;
    if (this.#foundFor !== this.#text() && !(await this.#look())) return;
    const chosen = this.#found[Math.max(0, this.#active)];
    this.#open(chosen?.id ?? this.#text());
  }

  #open(id) {
    // An answer that is still on its way opens no list.
    this.#asked += 1;
    this.#hide();
    this.onOpen(id);
  }
}
