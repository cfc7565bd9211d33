// The table of tunnels: its heads, by which it is sorted, and its rows.

import { element, keep, mark } from './dom.js';
import { COLUMNS, labelOf } from './tunnel_columns.js';
import { TunnelRow } from './tunnel_row.js';

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
    const last = element(
      'th',
      { role: 'columnheader' },
      element('span', { class: 'unseen' }, 'End'),
    );
    const row = element('tr', { role: 'row' }, ...this.#heads.map(({ root }) => root), last);
    table.append(element('thead', { role: 'rowgroup' }, row), this.#body);
    this.#choice = element(
      'select',
      { 'aria-label': 'Sort by', class: 'narrow', change: () => this.#chosen() },
      ...choices(),
    );
    this.#showOrder();
  }

  /** Where the screen is too narrow for heads, they are sorted by this. */
  get sortChoice() {
    return this.#choice;
  }

  update(tunnels) {
    keep(
      this.#body,
      tunnels,
      ({ id }) => id,
      ({ id }) => new TunnelRow(id, () => this.#open(id), this.#handlers.closings),
    );
  }

  #open(id) {
    this.#selected?.removeAttribute('aria-current');
    this.#selected = this.#body.querySelector(`[data-tunnel="${id}"]`);
    this.#selected.setAttribute('aria-current', 'true');
    this.#handlers.onOpen(id);
  }

  #head(column) {
    const { sort, name, head, of, isNumber } = column;
    const words = [
      element('span', {}, head),
      of ? element('span', { class: `of ${of}` }, of) : null,
    ];
    const button = sort
      ? element(
          'button',
          { type: 'button', class: 'sort', click: () => this.#sortBy(column) },
          ...words,
        )
      : element('span', {}, head);
    return {
      sort,
      root: element(
        'th',
        { scope: 'col', role: 'columnheader', class: `${name}${isNumber ? ' number' : ''}` },
        button,
      ),
    };
  }

  /** The largest first, or the first of the alphabet; once more is the other way round. */
  #sortBy({ sort, isNumber = false }) {
    const isSame = this.order.sort === sort;
    this.#sorted({ sort, descending: isSame ? !this.order.descending : isNumber });
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
    for (const head of this.#heads)
      mark(head.root, 'aria-sort', head.sort === sort && (descending ? 'descending' : 'ascending'));
    this.#choice.value = JSON.stringify(this.order);
  }
}

function choices() {
  const sorted = COLUMNS.filter(({ sort }) => sort);
  return sorted
    .flatMap((column) => [
      [column, true],
      [column, false],
    ])
    .map(([column, descending]) =>
      element(
        'option',
        { value: JSON.stringify({ sort: column.sort, descending }) },
        `${labelOf(column)} ${descending ? '↓' : '↑'}`,
      ),
    );
}
