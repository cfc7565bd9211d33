// The stream of events: read by fetch, since EventSource cannot show a token, and opened again
// whenever it has ended or has gone quiet.

import { open } from './api.js';
import { Parser } from './server_sent.js';

/** `now` comes each second: after five, nothing comes any more, whatever the connection says. */
const QUIET_MS = 5_000;
const SHORTEST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 10_000;

export class Stream {
  #where;
  #handlers;
  #onState;
  #lastId = null;
  #failures = 0;
  #stopWaiting = () => {};

  /** `handlers` are called by an event's name with its data, `onState` when the connection comes and goes. */
  constructor(where, handlers, onState) {
    this.#where = where;
    this.#handlers = handlers;
    this.#onState = onState;
    // A tab in the background may sleep for long; it need not wait once somebody looks at it.
    document.addEventListener('visibilitychange', () => document.hidden || this.retry());
    addEventListener('online', () => this.retry());
  }

  /** Tries again now, if it waits to. */
  retry() {
    this.#stopWaiting();
  }

  async run() {
    this.#onState({ name: 'connecting' });
    for (;;) {
      const reason = await this.#readToEnd().catch((error) => error);
      this.#failures += 1;
      await this.#wait(reason.message);
    }
  }

  async #readToEnd() {
    const quiet = new AbortController();
    const headers = this.#lastId === null ? {} : { 'Last-Event-ID': this.#lastId };
    const response = await open(this.#where, { headers, signal: quiet.signal });
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    const parser = new Parser();
    for (;;) {
      const timer = setTimeout(() => quiet.abort(new Error('nothing was heard for 5 s')), QUIET_MS);
      const { value, done } = await reader.read().finally(() => clearTimeout(timer));
      if (done) return new Error('the proxy has ended it');
      for (const event of parser.feed(value)) this.#handle(event);
    }
  }

  #handle({ id, event, data }) {
    if (id !== undefined) this.#lastId = id;
    if (event === 'now') {
      this.#failures = 0;
      this.#onState({ name: 'live' });
    }
    this.#handlers[event]?.(JSON.parse(data));
  }

  /** Twice as long each time, and a little at random: there may be many of us. */
  #wait(reason) {
    const most = Math.min(LONGEST_WAIT_MS, SHORTEST_WAIT_MS * 2 ** this.#failures);
    const ms = most * (0.75 + Math.random() / 4);
    this.#onState({ name: 'lost', reason, retryAt: Date.now() + ms });
    return new Promise((resolve) => {
      this.#stopWaiting = resolve;
      setTimeout(resolve, ms);
    });
  }
}
