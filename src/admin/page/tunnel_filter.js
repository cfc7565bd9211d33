// Which tunnels are looked for: by a text, and by pool or backend.

import { element, icon } from './dom.js';

const TYPING_MS = 200;

export class TunnelFilter {
  #text = element('input', {
    type: 'search',
    placeholder: 'client, host, path, number …',
    'aria-label': 'Search tunnels',
    autocomplete: 'off',
    spellcheck: 'false',
  });
  #where = element('select', { 'aria-label': 'Pool or backend' });
  #onChange;
  #known = '';

  pools = [];

  constructor(onChange) {
    this.#onChange = onChange;
    this.roots = [element('label', { class: 'search' }, icon('search'), this.#text), this.#where];
    let timer = null;
    this.#text.addEventListener('input', () => {
      clearTimeout(timer);
      timer = setTimeout(onChange, TYPING_MS);
    });
    this.#where.addEventListener('change', onChange);
    this.know([]);
  }

  get chosen() {
    return JSON.parse(this.#where.value);
  }

  get query() {
    const search = this.#text.value.trim();
    return { ...this.chosen, ...(search ? { search } : {}) };
  }

  get isOn() {
    return Object.keys(this.query).length > 0;
  }

  choose(pool, backend) {
    this.#text.value = '';
    this.#where.value = JSON.stringify({ pool, backend });
    this.#onChange();
  }

  /** Offers these pools and their backends. A list that is open is not touched without need. */
  know(pools) {
    const names = pools.map(({ name, backends }) => ({
      name,
      backends: backends.map((backend) => backend.name),
    }));
    const known = JSON.stringify(names);
    if (known === this.#known) return;
    this.#known = known;
    this.pools = names;
    const { value } = this.#where;
    this.#where.replaceChildren(option({}, 'all pools'), ...names.map(group));
    this.#where.value = value;
    if (this.#where.selectedIndex < 0) this.#where.selectedIndex = 0;
  }
}

const option = (where, text) => element('option', { value: JSON.stringify(where) }, text);

const group = ({ name, backends }) =>
  element(
    'optgroup',
    { label: name },
    option({ pool: name }, `${name}: all`),
    ...backends.map((backend) => option({ pool: name, backend }, backend)),
  );
