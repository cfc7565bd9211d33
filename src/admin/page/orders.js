// What an operator can want of a backend. Each is asked about first.

import { path, post } from './api.js';
import { ask } from './dialog.js';
import { plural } from './format.js';
import { attempt, done } from './toast.js';

export const ORDERS = [
  {
    name: 'ready',
    intent: 'ready',
    label: 'Make ready',
    title: (backend) => `Make ${backend} ready?`,
    lines: () => [
      'It gets new clients again, as soon as its checks agree. Of its tunnels, those that have not been told to close stay.',
    ],
  },
  {
    name: 'drain',
    intent: 'draining',
    label: 'Drain',
    title: (backend) => `Drain ${backend}?`,
    lines: (tunnels) => [
      `It gets no new clients, and its ${plural(tunnels, 'tunnel')} ${tunnels === 1 ? 'is' : 'are'} closed at the pace of the pool’s drain; the clients come back to others.`,
    ],
    isDangerous: true,
  },
  {
    name: 'maintenance',
    intent: 'maintenance',
    label: 'Maintenance',
    title: (backend) => `Put ${backend} into maintenance?`,
    lines: (tunnels) => [
      `It gets nobody any more, not even clients who have been there before. Its ${plural(tunnels, 'tunnel')} ${tunnels === 1 ? 'stays' : 'stay'}.`,
    ],
    isDangerous: true,
  },
];

const UNTIL = 'This holds until the configuration file says something else of it.';

export async function askAndOrder(order, pool, { name, tunnels }) {
  const answer = await ask({
    title: order.title(name),
    lines: [...order.lines(tunnels), UNTIL],
    action: order.label,
    isDangerous: order.isDangerous,
  });
  if (answer === null) return;
  const request = () => post(path('pools', pool, 'backends', name, order.name));
  if (await attempt(`${name} stays as it is`, request))
    done(`${name} of ${pool} is to be ${order.intent}`);
}
