// Whether what one sees is how it is, said in the corner and, when it is not, in a line across.

import { element, mark, say } from './dom.js';
import { time } from './format.js';

export class Connection {
  #corner = document.getElementById('connection');
  #line = document.getElementById('lost');
  #words = element('span');
  #countdown = element('span', { 'aria-live': 'off' });
  #state = { name: 'connecting' };
  #since = null;

  constructor(retry) {
    this.#line.append(
      this.#words,
      this.#countdown,
      element('button', { type: 'button', click: retry }, 'Try now'),
    );
    setInterval(() => this.#count(), 500);
  }

  get isLost() {
    return this.#state.name === 'lost';
  }

  show(state) {
    if (state.name === 'live') this.#since = Date.now() / 1000;
    this.#state = state;
    mark(this.#corner, 'data-state', state.name);
    say(
      this.#corner,
      { connecting: 'connecting', live: 'live', lost: 'connection lost' }[state.name],
    );
    document.body.classList.toggle('stale', this.isLost);
    this.#line.hidden = !this.isLost;
    if (!this.isLost) return;
    const seen = this.#since ? ` What you see is from ${time(this.#since)}.` : '';
    say(this.#words, `The connection to longwire is lost: ${state.reason}.${seen}`);
    this.#count();
  }

  #count() {
    if (!this.isLost) return;
    const seconds = Math.ceil((this.#state.retryAt - Date.now()) / 1000);
    say(this.#countdown, seconds > 0 ? `Trying again in ${seconds} s` : 'Trying again');
  }
}
