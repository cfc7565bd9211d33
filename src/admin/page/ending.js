// Ending tunnels: one, or many at a pace.

import { path, post } from './api.js';
import { ask } from './dialog.js';
import { plural } from './format.js';
import { attempt, done } from './toast.js';

const CODE = {
  name: 'code',
  label: 'Close code',
  choices: [
    [1001, '1001 going away'],
    [1012, '1012 service restart'],
    [1000, '1000 normal closure'],
    [1008, '1008 policy violation'],
    [1011, '1011 internal error'],
    [1013, '1013 try again later'],
  ],
};

const REASON = { name: 'reason', label: 'Reason', placeholder: 'none', maxlength: 123 };

export async function askToEndOne(id, closings) {
  const answer = await ask({
    title: `End tunnel ${id}?`,
    lines: ['Both sides get a Close between two frames.'],
    fields: [CODE, REASON],
    action: 'End it',
    isDangerous: true,
  });
  if (answer === null) return;
  const order = () => post(path('tunnels', id, 'close'), words(answer));
  const closing = await attempt(`Tunnel ${id} goes on`, order);
  if (closing) closings.follow(closing, `Ending tunnel ${id}`);
}

/** `chosen` is the pool or the backend that is looked at, and so the first guess of what is meant. */
export async function askToEndSome(pools, chosen, closings) {
  const answer = await ask({
    title: 'End many tunnels',
    lines: [
      'All that is said here has to be true of a tunnel. Both sides get a Close between two frames.',
    ],
    fields: [
      { name: 'where', label: 'Where', choices: places(pools, chosen) },
      { name: 'client', label: 'Client', placeholder: 'any address' },
      {
        name: 'older',
        label: 'Open for at least',
        type: 'number',
        min: 0,
        step: 'any',
        placeholder: 'any time',
        hint: 'minutes',
      },
      {
        name: 'over',
        label: 'Told over',
        type: 'number',
        min: 0,
        step: 'any',
        value: 60,
        hint: 'seconds, one after the other',
      },
      CODE,
      REASON,
    ],
    action: 'End them',
    isDangerous: true,
  });
  if (answer === null) return;
  const closing = await attempt('Nothing was ended', () => post('tunnels/close', some(answer)));
  if (!closing) return;
  if (closing.total === 0) done('No tunnel is meant by that');
  else closings.follow(closing, `Ending ${plural(closing.total, 'tunnel')}`);
}

function some({ where, client, older, over, ...rest }) {
  const said = {
    ...JSON.parse(where),
    ...(client.trim() ? { client: client.trim() } : {}),
    ...(older ? { older_than_seconds: Number(older) * 60 } : {}),
  };
  const which = Object.keys(said).length > 0 ? said : { all: true };
  return { ...which, ...words(rest), ...(over ? { over_seconds: Number(over) } : {}) };
}

const words = ({ code, reason }) => ({ code: Number(code), ...(reason ? { reason } : {}) });

/** What is chosen comes first, and is so the choice. */
function places(pools, chosen) {
  const all = [
    [{}, 'everywhere'],
    ...pools.flatMap(({ name, backends }) => [
      [{ pool: name }, `pool ${name}`],
      ...backends.map((backend) => [{ pool: name, backend }, `${backend} of ${name}`]),
    ]),
  ].map(([where, text]) => [JSON.stringify(where), text]);
  const isChosen = ([where]) => where === JSON.stringify(chosen);
  return [...all.filter(isChosen), ...all.filter((place) => !isChosen(place))];
}
