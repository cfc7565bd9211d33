// The journal: what has happened, the newest first.

import { element, icon, say } from './dom.js';
import { moment, when } from './format.js';

/** More than anybody reads, and less than would make the page slow. */
const KEPT = 500;
const TIMES_AGAIN_MS = 600_000;

export class Journal {
  #list = document.getElementById('journal-list');
  #troubles = document.getElementById('journal-troubles');
  #nothing = element('li', { class: 'nothing' }, 'Nothing has happened yet.');
  #seen = new Set();

  constructor() {
    this.#list.append(this.#nothing);
    const filter = () => this.#list.classList.toggle('troubles', this.#troubles.checked);
    this.#troubles.addEventListener('change', filter);
    filter();
    setInterval(() => this.#sayTimes(), TIMES_AGAIN_MS);
  }

  add(entry) {
    // After an upgrade another process counts anew, and after a gap some come twice.
    const key = `${entry.id} ${entry.at}`;
    if (this.#seen.has(key)) return;
    this.#seen.add(key);
    if (this.#seen.size > 2 * KEPT) this.#seen.delete(this.#seen.values().next().value);
    this.#nothing.remove();
    this.#keepingPlace(() => this.#list.prepend(row(entry)));
    if (this.#list.childElementCount > KEPT) this.#list.lastElementChild.remove();
  }

  /** A page that is left open grows older than what it says. */
  #sayTimes() {
    for (const clock of this.#list.querySelectorAll('time'))
      say(clock, when(Date.parse(clock.dateTime) / 1000));
  }

  /** Whoever has scrolled down to read goes on reading the same. */
  #keepingPlace(change) {
    const frame = this.#list.parentElement;
    const { scrollTop, scrollHeight } = frame;
    change();
    if (scrollTop > 0) frame.scrollTop = scrollTop + frame.scrollHeight - scrollHeight;
  }
}

function row({ at, level, message, fields }) {
  const { pool, backend, reason, ...rest } = fields;
  const place = [pool, backend].filter(Boolean).join(' · ');
  const others = Object.entries(rest)
    .map(([name, value]) => `${name} ${value}`)
    .join(', ');
  const clock = element('time', { datetime: new Date(at * 1000).toISOString(), title: moment(at) });
  say(clock, when(at));
  return element(
    'li',
    { 'data-level': level },
    element(
      'span',
      { class: 'level', title: level },
      icon(level),
      element('span', { class: 'unseen' }, level),
    ),
    element(
      'div',
      { class: 'entry' },
      element('p', {}, element('strong', {}, message), clock),
      place ? element('p', { class: 'address' }, place) : null,
      reason ? element('p', {}, reason) : null,
      others ? element('p', { class: 'aside' }, others) : null,
    ),
  );
}
