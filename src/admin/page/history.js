// The last minutes or the last hour, column by column, as the proxy tells it and as it goes on.

import { fetchJson } from './api.js';

export class History {
  #columns = { at: [] };
  #askedAt = 0;

  constructor(spanSeconds) {
    this.spanSeconds = spanSeconds;
    this.intervalSeconds = 1;
  }

  /** Fetches all of it, which also fills what was missed. */
  async load() {
    this.#askedAt = performance.now();
    const { interval_seconds: interval, ...columns } = await fetchJson('history', {
      span: this.spanSeconds,
    });
    this.intervalSeconds = interval;
    this.#columns = columns;
  }

  column(name) {
    return this.#columns[name] ?? [];
  }

  /** Whether it has grown by more than single seconds can add. */
  get isDue() {
    return (
      this.intervalSeconds > 1 && performance.now() - this.#askedAt >= this.intervalSeconds * 1000
    );
  }

  get last() {
    return this.column('at').at(-1) ?? 0;
  }

  /** Goes on with the last second, where a second is a sample; else there is nothing to add yet. */
  add(sample) {
    if (this.intervalSeconds > 1 || sample.at <= this.last) return;
    const isOver = (at) => at < sample.at - this.spanSeconds;
    const over = this.#columns.at.findIndex((at) => !isOver(at));
    for (const [name, column] of Object.entries(this.#columns)) {
      column.push(sample[name] ?? null);
      if (over > 0) column.splice(0, over);
    }
  }
}
