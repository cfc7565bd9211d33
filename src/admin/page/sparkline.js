// The tunnels of a backend in the last hour, as small as a word.

import { graphic, mark } from './dom.js';
import { count } from './format.js';

const WIDTH = 120;
const HEIGHT = 28;

export class Sparkline {
  #area = graphic('path', { class: 'area' });
  #line = graphic('path', { class: 'line' });

  root = graphic(
    'svg',
    {
      class: 'sparkline',
      role: 'img',
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
      preserveAspectRatio: 'none',
    },
    this.#area,
    this.#line,
  );

  /** `most` is what the full height stands for, the same for all backends of a pool. */
  update(trend, most) {
    if (trend.length === 0) return;
    const step = WIDTH / Math.max(1, trend.length - 1);
    const y = (tunnels) => HEIGHT - 1.5 - (tunnels / Math.max(1, most)) * (HEIGHT - 3);
    const points = trend.map(
      (tunnels, index) => `${(index * step).toFixed(1)} ${y(tunnels).toFixed(1)}`,
    );
    mark(this.#line, 'd', `M${points.join('L')}`);
    mark(
      this.#area,
      'd',
      `M0 ${HEIGHT}L${points.join('L')}L${((points.length - 1) * step).toFixed(1)} ${HEIGHT}Z`,
    );
    mark(
      this.root,
      'aria-label',
      `between ${count(Math.min(...trend))} and ${count(Math.max(...trend))} tunnels in the last hour`,
    );
  }
}
