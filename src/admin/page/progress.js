// How far tunnels are that are being closed: how many have ended, how many were told, how long it
// takes until all are.

import { element, mark, say } from './dom.js';
import { count, duration } from './format.js';

export class Progress {
  #ended = element('span', { class: 'ended' });
  #told = element('span', { class: 'told' });
  #words = element('span', { class: 'words' });
  #bar = element(
    'div',
    { class: 'track', role: 'progressbar', 'aria-valuemin': 0, 'aria-valuemax': 100 },
    this.#told,
    this.#ended,
  );

  constructor(label) {
    mark(this.#bar, 'aria-label', label);
    this.root = element('div', { class: 'progress' }, this.#bar, this.#words);
  }

  update({ total, untold, left, seconds_left: secondsLeft }) {
    const part = (number) => (total > 0 ? (total - number) / total : 1) * 100;
    this.#ended.style.width = `${part(left)}%`;
    this.#told.style.width = `${part(untold)}%`;
    const ahead = untold > 0 ? `all told in ${duration(Math.ceil(secondsLeft))}` : 'all told';
    const words = `${count(left)} of ${count(total)} left, ${ahead}`;
    say(this.#words, words);
    mark(this.#bar, 'aria-valuenow', Math.round(part(left)));
    mark(this.#bar, 'aria-valuetext', words);
  }
}
