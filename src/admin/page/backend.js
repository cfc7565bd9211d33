// A backend: a row of its pool.

import { element, icon, mark, say } from './dom.js';
import { count, duration, percent, plural } from './format.js';
import { askAndOrder, ORDERS } from './orders.js';
import { Progress } from './progress.js';
import { Sparkline } from './sparkline.js';

export class Backend {
  #now = null;
  #stateIcon = element('span');
  #state = element('span', { class: 'state-name' });
  #pill = element('span', { class: 'pill' }, this.#stateIcon, this.#state);
  #aside = element('span', { class: 'aside' });
  #tunnels = element('button', {
    type: 'button',
    class: 'link number',
    title: 'Show these tunnels',
  });
  #limit = element('span', { class: 'aside' });
  #part = element('span', { class: 'number aside' });
  #bar = element('span', { class: 'bar' });
  #track = element('div', { class: 'track', 'aria-hidden': 'true' }, this.#bar);
  #load = element(
    'div',
    { class: 'load' },
    element(
      'div',
      { class: 'load-words' },
      element('span', {}, this.#tunnels, this.#limit),
      this.#part,
    ),
    this.#track,
  );
  #trend = new Sparkline();
  #reason = element('span', { class: 'reason' });
  #checks = element('span', { class: 'aside' });
  #progress;
  #buttons;

  constructor(pool, name, onShowTunnels) {
    this.#progress = new Progress(`Draining ${name}`);
    this.#tunnels.addEventListener('click', () => onShowTunnels(pool, name));
    this.#buttons = ORDERS.map((order) => ({ order, button: this.#button(order, pool) }));
    this.root = element(
      'tr',
      { role: 'row', 'data-backend': name },
      element('th', { scope: 'row', role: 'rowheader', class: 'address' }, name),
      cell('state', element('div', { class: 'lines' }, this.#pill, this.#aside)),
      cell('tunnels', this.#load, this.#progress.root),
      cell('trend', this.#trend.root),
      cell('health', element('div', { class: 'lines' }, this.#reason, this.#checks)),
      cell(
        'orders',
        element('div', { class: 'buttons' }, ...this.#buttons.map(({ button }) => button)),
      ),
    );
  }

  update({ backend, pool, most, now }) {
    this.#now = backend;
    mark(this.root, 'data-state', backend.state);
    this.#showState(backend);
    this.#showTunnels(backend, pool.tunnels);
    this.#trend.update(backend.trend, most);
    say(this.#reason, reason(backend));
    say(this.#checks, checks(backend, now));
    for (const { order, button } of this.#buttons) button.hidden = order.intent === backend.intent;
  }

  #showState({ state, intent, share, weight }) {
    if (this.#state.textContent !== state) this.#stateIcon.replaceChildren(icon(state));
    say(this.#state, state);
    const asides = [];
    if (state !== intent && intent !== 'ready') asides.push(`meant to be ${intent}`);
    if (state === 'ready' && share < 1) asides.push(`coming back: ${percent(share)} of its share`);
    if (weight !== 1) asides.push(`weight ${weight}`);
    say(this.#aside, asides.join(', '));
  }

  #showTunnels({ tunnels, max_tunnels: max, requests, drain }, ofPool) {
    const part = ofPool > 0 ? tunnels / ofPool : 0;
    say(this.#tunnels, count(tunnels));
    say(
      this.#limit,
      `${max === null ? '' : ` of ${count(max)}`}${requests > 0 ? `, ${plural(requests, 'request')}` : ''}`,
    );
    say(this.#part, percent(part));
    this.#bar.style.width = `${part * 100}%`;
    // Its share shrinks to nothing now: how far that is says more.
    this.#track.hidden = drain !== null;
    this.#progress.root.hidden = drain === null;
    if (drain) this.#progress.update(drain);
  }

  #button(order, pool) {
    return element(
      'button',
      { type: 'button', click: () => askAndOrder(order, pool, this.#now) },
      order.label,
    );
  }
}

const cell = (name, ...children) => element('td', { role: 'cell', class: name }, ...children);

/** Why it is as it is; where it is well, what was last wrong. */
function reason({ state, checks, ejected }) {
  if (ejected) return `${ejected.reason}; back in ${duration(Math.ceil(ejected.seconds_left))}`;
  if (!checks?.last_failure) return state === 'down' ? 'its checks fail' : '';
  return state === 'down' ? checks.last_failure : `last failure: ${checks.last_failure}`;
}

function checks({ checks: told }, now) {
  if (told === null) return 'not checked';
  const { passed, failed, last_at: at } = told;
  if (at === null) return 'not checked yet';
  const ago = duration(Math.max(0, now - at));
  return `${count(failed)} of ${plural(passed + failed, 'check')} failed, ${ago} ago`;
}
