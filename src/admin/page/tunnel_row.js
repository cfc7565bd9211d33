// A tunnel: a row of the table, or a card where it is narrow.

import { element, icon, mark, say } from './dom.js';
import { askToEndOne } from './ending.js';
import { COLUMNS, labelOf } from './tunnel_columns.js';

export class TunnelRow {
  #cells;

  constructor(id, onOpen, closings) {
    const open = element(
      'button',
      { type: 'button', class: 'link', 'aria-haspopup': 'dialog', click: onOpen },
      String(id),
    );
    const end = element(
      'button',
      {
        type: 'button',
        class: 'quiet',
        'aria-label': `End tunnel ${id}`,
        title: 'End this tunnel',
        click: () => askToEndOne(id, closings),
      },
      icon('end'),
    );
    this.#cells = COLUMNS.filter((column) => column.say).map((column) => ({
      column,
      root: cell(column),
    }));
    this.root = element(
      'tr',
      { role: 'row', 'data-tunnel': id },
      element('th', { scope: 'row', role: 'rowheader', class: 'id number' }, open),
      ...this.#cells.map(({ root }) => root),
      element('td', { role: 'cell', class: 'end' }, end),
    );
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
