// The table of tunnels.

import { element, icon, keep, mark, say } from './dom.js';
import { askToEndOne } from './ending.js';
import { brief, bytes, duration, roundTrip } from './format.js';

const both = (tunnel, what, format) => [
  element('span', { class: 'client', title: 'from the client' }, `↑ ${format(tunnel[`client_${what}`])}`),
  element('span', { class: 'backend', title: 'from the backend' }, `↓ ${format(tunnel[`backend_${what}`])}`),
];

const ago = (seconds) => (seconds === 0 ? 'now' : duration(seconds));

/** `say` gives a cell's text, or its lines as elements. */
const COLUMNS = [
  { name: 'id', head: 'Tunnel', sort: 'id', isNumber: true },
  { name: 'client', head: 'Client', sort: 'client', isAddress: true, say: (tunnel) => tunnel.client },
  { name: 'request', head: 'Route', sort: 'route', say: (tunnel) => [element('span', {}, tunnel.route), element('span', { class: 'aside' }, `${tunnel.host}${tunnel.path}`)] },
  { name: 'backend', head: 'Backend', sort: 'backend', say: (tunnel) => [element('span', { class: 'address' }, tunnel.backend), element('span', { class: 'aside' }, tunnel.pool)] },
  { name: 'age', head: 'Age', sort: 'age', isNumber: true, say: (tunnel) => duration(tunnel.age_seconds) },
  { name: 'messages', head: 'Messages', sort: 'messages', isNumber: true, say: (tunnel) => both(tunnel, 'messages', brief) },
  { name: 'bytes', head: 'Bytes', sort: 'bytes', isNumber: true, say: (tunnel) => both(tunnel, 'bytes', bytes) },
  { name: 'client-heard', head: 'Heard', of: 'client', sort: 'client_heard', isNumber: true, say: (tunnel) => ago(tunnel.client_heard_seconds) },
  { name: 'client-trip', head: 'Round trip', short: 'Trip', of: 'client', sort: 'client_round_trip', isNumber: true, say: (tunnel) => roundTrip(tunnel.client_round_trip_seconds) },
  { name: 'backend-heard', head: 'Heard', of: 'backend', sort: 'backend_heard', isNumber: true, say: (tunnel) => ago(tunnel.backend_heard_seconds) },
  { name: 'backend-trip', head: 'Round trip', short: 'Trip', of: 'backend', sort: 'backend_round_trip', isNumber: true, say: (tunnel) => roundTrip(tunnel.backend_round_trip_seconds) },
  { name: 'affinity', head: 'Affinity', say: (tunnel) => tunnel.affinity },
];

/** What a column is called where no head stands above it. */
const labelOf = ({ head, short = head, of }) => (of ? `${short}, ${of}` : head);

export class TunnelTable {
  #body = element('tbody', { role: 'rowgroup' });
  #heads;
  #choice;
  #handlers;
  #selected = null;

  /** The newest first, until somebody wants it otherwise. */
  order = { sort: 'id', descending: true };

  constructor(table, handlers) {
    this.#handlers = handlers;
    this.#heads = COLUMNS.map((column) => this.#head(column));
    const last = element('th', { role: 'columnheader' }, element('span', { class: 'unseen' }, 'End'));
    const row = element('tr', { role: 'row' }, ...this.#heads.map(({ root }) => root), last);
    table.append(element('thead', { role: 'rowgroup' }, row), this.#body);
    this.#choice = element('select', { 'aria-label': 'Sort by', class: 'narrow', change: () => this.#chosen() }, ...choices());
    this.#showOrder();
  }

  /** Where the screen is too narrow for heads, they are sorted by this. */
  get sortChoice() {
    return this.#choice;
  }

  update(tunnels) {
    keep(this.#body, tunnels, ({ id }) => id, ({ id }) => new Row(id, () => this.#open(id), this.#handlers.closings));
  }

  #open(id) {
    this.#selected?.removeAttribute('aria-current');
    this.#selected = this.#body.querySelector(`[data-tunnel="${id}"]`);
    this.#selected.setAttribute('aria-current', 'true');
    this.#handlers.onOpen(id);
  }

  #head(column) {
    const { sort, name, head, of, isNumber } = column;
    const words = [element('span', {}, head), of ? element('span', { class: `of ${of}` }, of) : null];
    const button = sort ? element('button', { type: 'button', class: 'sort', click: () => this.#sortBy(sort) }, ...words) : element('span', {}, head);
    return { sort, root: element('th', { scope: 'col', role: 'columnheader', class: `${name}${isNumber ? ' number' : ''}` }, button) };
  }

  /** By a column once more is the other way round. */
  #sortBy(sort) {
    const isSame = this.order.sort === sort;
    this.#sorted({ sort, descending: isSame ? !this.order.descending : false });
  }

  #chosen() {
    this.#sorted(JSON.parse(this.#choice.value));
  }

  #sorted(order) {
    this.order = order;
    this.#showOrder();
    this.#handlers.onSort();
  }

  #showOrder() {
    const { sort, descending } = this.order;
    for (const head of this.#heads) mark(head.root, 'aria-sort', head.sort === sort && (descending ? 'descending' : 'ascending'));
    this.#choice.value = JSON.stringify(this.order);
  }
}

function choices() {
  const sorted = COLUMNS.filter(({ sort }) => sort);
  return sorted.flatMap((column) => [[column, true], [column, false]]).map(([column, descending]) =>
    element('option', { value: JSON.stringify({ sort: column.sort, descending }) }, `${labelOf(column)} ${descending ? '↓' : '↑'}`));
}

class Row {
  #cells;

  constructor(id, onOpen, closings) {
    const open = element('button', { type: 'button', class: 'link', 'aria-haspopup': 'dialog', click: onOpen }, String(id));
    const end = element('button', { type: 'button', class: 'quiet', 'aria-label': `End tunnel ${id}`, title: 'End this tunnel', click: () => askToEndOne(id, closings) }, icon('end'));
    this.#cells = COLUMNS.filter((column) => column.say).map((column) => ({ column, root: cell(column) }));
    this.root = element('tr', { role: 'row', 'data-tunnel': id },
      element('th', { scope: 'row', role: 'rowheader', class: 'id number' }, open),
      ...this.#cells.map(({ root }) => root),
      element('td', { role: 'cell', class: 'end' }, end));
    this.root.addEventListener('click', (event) => {
      if (!event.target.closest('button') && getSelection().isCollapsed) onOpen();
    });
  }

  update(tunnel) {
    mark(this.root, 'data-closing', tunnel.is_closing);
    mark(this.root, 'title', tunnel.is_closing && 'It was told to close');
    for (const { column, root } of this.#cells) fill(root, column.say(tunnel));
  }
}

function cell(column) {
  const kind = `${column.name}${column.isNumber ? ' number' : ''}${column.isAddress ? ' address' : ''}`;
  return element('td', { role: 'cell', class: kind, 'data-label': labelOf(column) });
}

/** Only what has changed is replaced. */
function fill(root, said) {
  if (typeof said === 'string') return say(root, said);
  if (root.childElementCount !== said.length) return root.replaceChildren(...said);
  said.forEach((line, index) => say(root.children[index], line.textContent));
}
