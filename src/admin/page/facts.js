// What is known of the process, in a line.

import { element, keep, mark, say } from './dom.js';
import { count, duration, moment, plural, rate } from './format.js';

export class Facts {
  #list = document.getElementById('facts');

  update(status) {
    keep(
      this.#list,
      facts(status),
      (fact) => fact.name,
      () => new Fact(),
    );
  }
}

class Fact {
  #name = element('dt');
  #value = element('dd');

  root = element('div', {}, this.#name, this.#value);

  update({ name, value, title, isBad }) {
    say(this.#name, name);
    say(this.#value, value);
    mark(this.root, 'title', title);
    this.root.classList.toggle('bad', Boolean(isBad));
  }
}

function facts({
  version,
  pid,
  started_at: startedAt,
  uptime_seconds: uptime,
  readiness,
  configuration,
  connections,
  rates,
  workers,
  log_level: level,
}) {
  const { file, loaded_at: loadedAt, reloads, refused_reloads: refused } = configuration;
  const told = `${file ?? 'no file'}, read ${moment(loadedAt)}; ${plural(reloads, 'reload')}, ${count(refused)} refused`;
  return [
    { name: 'proxy', value: readiness, isBad: readiness !== 'ready' },
    { name: 'up', value: duration(uptime), title: `since ${moment(startedAt)}` },
    { name: 'connections', value: count(connections) },
    { name: 'requests', value: `${rate(rates.requests)}/s` },
    {
      name: 'configuration',
      value: `${duration(startedAt + uptime - loadedAt)} old${refused > 0 ? `, ${count(refused)} refused` : ''}`,
      title: told,
    },
    { name: 'log', value: level },
    { name: 'version', value: version, title: `process ${pid}, ${plural(workers, 'worker')}` },
  ];
}
