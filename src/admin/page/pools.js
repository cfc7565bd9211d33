// The pools, each with its backends.

import { Backend } from './backend.js';
import { ask } from './dialog.js';
import { path, post } from './api.js';
import { element, icon, keep, say } from './dom.js';
import { count, plural } from './format.js';
import { attempt, done } from './toast.js';

export class Pools {
  #list = document.getElementById('pool-list');
  #summary = document.getElementById('pools-summary');
  #onShowTunnels;

  /** `onShowTunnels` is called with a pool's name and a backend's when somebody wants to see its tunnels. */
  constructor(onShowTunnels) {
    this.#onShowTunnels = onShowTunnels;
  }

  /** `now` is the proxy's: the clock of whoever looks may be another. */
  update(pools, now) {
    const backends = pools.flatMap((pool) => pool.backends);
    const ready = backends.filter((backend) => backend.state === 'ready').length;
    say(this.#summary, `${count(ready)} of ${plural(backends.length, 'backend')} ready`);
    const told = pools.map((pool) => ({ pool, now }));
    keep(
      this.#list,
      told,
      ({ pool }) => pool.name,
      ({ pool }) => new Pool(pool.name, this.#onShowTunnels),
    );
  }
}

const COLUMNS = ['Backend', 'State', 'Tunnels', 'Last hour', 'Health', 'Orders'];

class Pool {
  #name;
  #onShowTunnels;
  #terms = element('p', { class: 'terms' });
  #figures = element('p', { class: 'figures' });
  #rebalance = element('button', { type: 'button', click: () => this.#askToRebalance() });
  #words = element('span');
  #isRunning = false;
  #rows = element('tbody', { role: 'rowgroup' });

  constructor(name, onShowTunnels) {
    this.#name = name;
    this.#onShowTunnels = onShowTunnels;
    this.#rebalance.append(icon('move'), this.#words);
    const heads = COLUMNS.map((column) =>
      element('th', { scope: 'col', role: 'columnheader' }, column),
    );
    this.root = element(
      'article',
      { class: 'panel pool', 'aria-label': `Pool ${name}` },
      element('header', {}, element('h3', {}, name), this.#terms, this.#figures, this.#rebalance),
      element(
        'table',
        { class: 'backends', role: 'table' },
        element('thead', { role: 'rowgroup' }, element('tr', { role: 'row' }, ...heads)),
        this.#rows,
      ),
    );
  }

  update({ pool, now }) {
    say(
      this.#terms,
      `${pool.balance}, ${pool.affinity === 'none' ? 'no affinity' : `affinity by ${pool.affinity}`}`,
    );
    say(this.#figures, figures(pool).join(' · '));
    this.#isRunning = pool.rebalance.is_running;
    const stop = pool.rebalance.is_paused
      ? 'Stop rebalancing (paused: too few come back)'
      : 'Stop rebalancing';
    say(this.#words, this.#isRunning ? stop : 'Rebalance');
    this.#rebalance.classList.toggle('running', this.#isRunning);

    const most = Math.max(...pool.backends.flatMap((backend) => backend.trend), 1);
    const rows = pool.backends.map((backend) => ({ backend, pool, most, now }));
    keep(
      this.#rows,
      rows,
      ({ backend }) => backend.name,
      ({ backend }) => new Backend(pool.name, backend.name, this.#onShowTunnels),
    );
  }

  async #askToRebalance() {
    const running = !this.#isRunning;
    const start = [
      'Tunnels of backends that have too many are told to close with 1012, at the pace of the pool’s rebalance, until all have their fair share. Their clients come back to others.',
    ];
    const stop = ['No more tunnels are told to close for it. Those that were told are not kept.'];
    const answer = await ask({
      title: running ? `Rebalance ${this.#name}?` : `Stop rebalancing ${this.#name}?`,
      lines: running ? start : stop,
      action: running ? 'Rebalance' : 'Stop',
    });
    if (answer === null) return;
    const order = () => post(path('pools', this.#name, 'rebalance'), { running });
    if (await attempt(`${this.#name} is not rebalanced`, order))
      done(running ? `${this.#name} is rebalanced` : `${this.#name} is rebalanced no more`);
  }
}

function figures({ tunnels, requests, queue }) {
  const told = [plural(tunnels, 'tunnel')];
  if (requests > 0) told.push(plural(requests, 'request'));
  if (queue.waiting > 0)
    told.push(
      `${count(queue.waiting)}${queue.most === null ? '' : ` of ${count(queue.most)}`} waiting`,
    );
  return told;
}
