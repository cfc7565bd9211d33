// The format of server-sent events (HTML, section 9.2.6), taken apart as it arrives.

/** Is given text in whatever pieces, and gives the events that are complete. */
export class Parser {
  #rest = '';
  #event = {};

  *feed(text) {
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop();
    for (const line of lines) {
      if (line !== '') {
        this.#take(line);
        continue;
      }
      const event = this.#event;
      this.#event = {};
      if (event.data !== undefined) yield event;
    }
  }

  #take(line) {
    const [, name, value] = /^([^:]*):? ?(.*)$/.exec(line);
    if (name === 'data' && this.#event.data !== undefined) this.#event.data += `\n${value}`;
    else if (name !== '') this.#event[name] = value; // A line without a name is a comment.
  }
}
