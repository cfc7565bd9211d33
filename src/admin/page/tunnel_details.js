// All that is known of one tunnel, in a dialog that keeps up with it.

import { fetchJson, path } from './api.js';
import { element, keep, say } from './dom.js';
import { askToEndOne } from './ending.js';
import { bytes, duration, plural, roundTrip } from './format.js';

const EVERY_MS = 2_000;

const AFFINITY = {
  none: 'none: it was balanced',
  new: 'new: it was balanced, and is remembered',
  kept: 'kept: it came back to its backend',
  moved: 'moved: its backend took nobody, so it got another one',
  forged: 'forged: its cookie was not ours',
};

export function showDetails(id, closings) {
  const list = element('dl', { class: 'details' });
  const words = element('p', { class: 'aside', role: 'status' });
  const end = element(
    'button',
    { type: 'button', class: 'danger', click: () => askToEndOne(id, closings) },
    'End it…',
  );
  const dialog = element(
    'dialog',
    { class: 'drawer', 'aria-label': `Tunnel ${id}` },
    element('h2', {}, `Tunnel ${id}`),
    words,
    list,
    element(
      'div',
      { class: 'buttons' },
      element('button', { type: 'button', click: () => dialog.close() }, 'Close'),
      end,
    ),
  );

  const look = async () => {
    const tunnel = await fetchJson(path('tunnels', id)).catch((error) => error);
    if (tunnel.status === 404) {
      say(words, 'It has ended.');
      end.disabled = true;
      clearInterval(timer);
    } else if (tunnel instanceof Error) {
      say(words, tunnel.message);
    } else {
      say(words, tunnel.is_closing ? 'It was told to close.' : '');
      keep(
        list,
        facts(tunnel),
        ({ name }) => name,
        () => new Fact(),
      );
    }
  };
  const timer = setInterval(look, EVERY_MS);
  dialog.addEventListener('close', () => {
    clearInterval(timer);
    dialog.remove();
  });
  dialog.addEventListener('click', (event) => event.target === dialog && dialog.close());
  document.body.append(dialog);
  dialog.showModal();
  look();
}

class Fact {
  #name = element('dt');
  #value = element('dd');

  root = element('div', {}, this.#name, this.#value);

  update({ name, value }) {
    say(this.#name, name);
    say(this.#value, value);
  }
}

function facts(tunnel) {
  return [
    { name: 'Client', value: tunnel.client },
    { name: 'Host', value: tunnel.host },
    { name: 'Path', value: tunnel.path },
    { name: 'Route', value: tunnel.route },
    { name: 'Pool', value: tunnel.pool },
    { name: 'Backend', value: tunnel.backend },
    { name: 'Affinity', value: AFFINITY[tunnel.affinity] ?? tunnel.affinity },
    { name: 'Age', value: duration(tunnel.age_seconds) },
    ...ofSide(tunnel, 'client'),
    ...ofSide(tunnel, 'backend'),
  ];
}

function ofSide(tunnel, side) {
  const of = (what) => tunnel[`${side}_${what}`];
  const trip = of('round_trip_seconds');
  return [
    {
      name: `From the ${side}`,
      value: `${plural(of('messages'), 'message')}, ${bytes(of('bytes'))}`,
    },
    {
      name: `The ${side} was heard`,
      value: of('heard_seconds') === 0 ? 'just now' : `${duration(of('heard_seconds'))} ago`,
    },
    {
      name: `Round trip to the ${side}`,
      value: trip === null ? 'it talks, and was never asked' : roundTrip(trip),
    },
  ];
}
