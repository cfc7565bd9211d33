// Why tunnels have ended: the most frequent ways, each as a bar.

import { element, keep, mark, say } from './dom.js';
import { count, meaning, percent } from './format.js';

/** What fits beside the charts; the rest is summed up. */
const SHOWN = 7;

export class Ends {
  #list = element('ol', { class: 'ends' });
  #total = element('span', { class: 'moment' });

  constructor(host) {
    const head = element('header', {}, element('h3', {}, 'Why tunnels ended'), this.#total);
    host.append(element('article', { class: 'panel chart' }, head, this.#list));
  }

  update({ ends }) {
    const total = ends.reduce((sum, end) => sum + end.count, 0);
    say(this.#total, total === 0 ? 'none has yet' : `${count(total)} since the start`);
    const most = ends[0]?.count ?? 1;
    const items = summedUp(ends).map((end) => ({
      ...end,
      part: end.count / total,
      width: end.count / most,
    }));
    keep(
      this.#list,
      items,
      ({ by, cause, code }) => `${by} ${cause} ${code}`,
      () => new End(),
    );
  }
}

/** Whether there was a Close with a code: the number, or the range that it is in. */
const hasCode = (code) => code !== '' && code !== 'none';

function summedUp(ends) {
  if (ends.length <= SHOWN) return ends;
  const rest = ends.slice(SHOWN - 1);
  const others = {
    by: 'others',
    cause: `${rest.length} other ways`,
    code: '',
    count: rest.reduce((sum, end) => sum + end.count, 0),
  };
  return [...ends.slice(0, SHOWN - 1), others];
}

class End {
  #bar = element('span', { class: 'bar' });
  #by = element('span', { class: 'by' });
  #cause = element('span', { class: 'cause' });
  #count = element('span', { class: 'number' });
  #part = element('span', { class: 'number part' });

  root = element(
    'li',
    {},
    this.#bar,
    element('span', { class: 'way' }, this.#by, this.#cause),
    this.#count,
    this.#part,
  );

  update({ by, cause, code, count: number, part, width }) {
    mark(this.root, 'data-by', by);
    say(this.#by, by === 'others' ? '' : by);
    say(this.#cause, hasCode(code) ? `${cause} ${code}` : cause);
    mark(this.root, 'title', meaning(code) ? `${code}: ${meaning(code)}` : null);
    say(this.#count, count(number));
    say(this.#part, part < 0.005 ? '< 1 %' : percent(part));
    this.#bar.style.width = `${Math.min(1, width) * 100}%`;
  }
}
