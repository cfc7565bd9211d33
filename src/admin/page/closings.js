// Tunnels that are being ended at somebody's order, followed until none is left.

import { fetchJson, path } from './api.js';
import { element, keep, say } from './dom.js';
import { Progress } from './progress.js';

const EVERY_MS = 1_000;

export class Closings {
  #list;
  #running = new Map();

  constructor(host) {
    this.#list = element('ul');
    host.append(this.#list);
    setInterval(() => document.hidden || this.#look(), EVERY_MS);
  }

  follow(closing, title) {
    this.#running.set(closing.id, { ...closing, title });
    this.#show();
  }

  async #look() {
    await Promise.all(
      [...this.#running.values()].map(async ({ id, title }) => {
        const now = await fetchJson(path('closings', id)).catch((error) => error);
        if (now.status === 404 || now.left === 0) this.#running.delete(id);
        else if (!(now instanceof Error)) this.#running.set(id, { ...now, title });
      }),
    );
    this.#show();
  }

  #show() {
    keep(
      this.#list,
      [...this.#running.values()],
      ({ id }) => id,
      ({ title }) => new Item(title),
    );
  }
}

class Item {
  #title = element('span', { class: 'closing-title' });
  #progress;

  constructor(title) {
    say(this.#title, title);
    this.#progress = new Progress(title);
    this.root = element('li', {}, this.#title, this.#progress.root);
  }

  update(closing) {
    this.#progress.update(closing);
  }
}
