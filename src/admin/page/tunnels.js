// The section of live tunnels: which are looked for, in which order, and the page of them.

import { fetchJson } from './api.js';
import { Closings } from './closings.js';
import * as dialog from './dialog.js';
import { element, icon, say } from './dom.js';
import { askToEndSome } from './ending.js';
import { count, plural } from './format.js';
import { Paging } from './paging.js';
import { TunnelFilter } from './tunnel_filter.js';
import { showDetails } from './tunnel_details.js';
import { TunnelTable } from './tunnel_table.js';

const EVERY_MS = 2_000;
/** So long after the last move of whoever reads, rows stay where they are. */
const READING_MS = 4_000;
const PER_PAGE = 50;

export class TunnelsSection {
  #summary = document.getElementById('tunnels-summary');
  #frame = document.getElementById('tunnels-table');
  #closings = new Closings(document.getElementById('closings'));
  #filter = new TunnelFilter(() => this.#lookAnew());
  #paging = new Paging(document.getElementById('paging'), PER_PAGE, () => this.#refresh());
  #table = new TunnelTable(this.#frame, {
    onSort: () => this.#lookAnew(),
    onOpen: (id) => showDetails(id, this.#closings),
    closings: this.#closings,
  });
  #readAt = -Infinity;
  #asked = 0;

  constructor() {
    const end = element(
      'button',
      {
        type: 'button',
        click: () => askToEndSome(this.#filter.pools, this.#filter.chosen, this.#closings),
      },
      icon('end'),
      'End many…',
    );
    document
      .getElementById('tunnels-tools')
      .append(...this.#filter.roots, this.#table.sortChoice, end);
    for (const sign of ['pointermove', 'wheel', 'keydown']) {
      this.#frame.addEventListener(
        sign,
        () => {
          this.#readAt = performance.now();
        },
        { passive: true },
      );
    }
    this.#frame.addEventListener('pointerleave', () => {
      this.#readAt = -Infinity;
    });
    document.addEventListener('visibilitychange', () => this.#refreshUnlessRead());
    setInterval(() => this.#refreshUnlessRead(), EVERY_MS);
    this.#refresh();
  }

  /** The pools there are, which one can look for. */
  know(pools) {
    this.#filter.know(pools);
  }

  showOnly(pool, backend) {
    this.#filter.choose(pool, backend);
    document.getElementById('tunnels').scrollIntoView();
  }

  get #isRead() {
    const selection = getSelection();
    const isSelected = !selection.isCollapsed && this.#frame.contains(selection.anchorNode);
    return isSelected || performance.now() - this.#readAt < READING_MS;
  }

  #refreshUnlessRead() {
    if (document.hidden || dialog.isOpen()) return;
    if (this.#isRead) say(this.#summary, `${this.#total} · held while you read`);
    else this.#refresh();
  }

  #lookAnew() {
    this.#paging.start();
    this.#refresh();
  }

  #total = '';

  async #refresh() {
    this.#asked += 1;
    const asked = this.#asked;
    const query = {
      ...this.#filter.query,
      ...this.#table.order,
      offset: this.#paging.offset,
      limit: PER_PAGE,
    };
    const page = await fetchJson('tunnels', query).catch((error) => error);
    if (asked !== this.#asked) return; // Somebody wants to see something else by now.
    if (page instanceof Error) return void say(this.#summary, page.message);
    this.#total = this.#filter.isOn ? `${count(page.total)} match` : plural(page.total, 'tunnel');
    say(this.#summary, this.#total);
    this.#table.update(page.tunnels);
    this.#paging.update(page.total);
  }
}
