// Which page of a long list is seen.

import { element, icon, say } from './dom.js';
import { count } from './format.js';

export class Paging {
  #perPage;
  #onTurn;
  #words = element('span', { class: 'number' });
  #previous = this.#button('previous', 'Previous page', -1);
  #next = this.#button('next', 'Next page', 1);

  offset = 0;

  constructor(host, perPage, onTurn) {
    this.#perPage = perPage;
    this.#onTurn = onTurn;
    host.append(this.#words, this.#previous, this.#next);
  }

  start() {
    this.offset = 0;
  }

  update(total) {
    // Those of the last page may have ended.
    if (this.offset > 0 && this.offset >= total) return this.#turn(-1);
    const end = Math.min(total, this.offset + this.#perPage);
    say(
      this.#words,
      total === 0 ? '' : `${count(this.offset + 1)}–${count(end)} of ${count(total)}`,
    );
    this.#previous.disabled = this.offset === 0;
    this.#next.disabled = end >= total;
  }

  #turn(pages) {
    this.offset = Math.max(0, this.offset + pages * this.#perPage);
    this.#onTurn();
  }

  #button(symbol, label, pages) {
    return element(
      'button',
      { type: 'button', 'aria-label': label, click: () => this.#turn(pages) },
      icon(symbol),
    );
  }
}
