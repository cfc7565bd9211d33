// What the table says of a tunnel, column by column.

import { element } from './dom.js';
import { brief, bytes, duration, roundTrip } from './format.js';

const both = (tunnel, what, format) => [
  element(
    'span',
    { class: 'client', title: 'from the client' },
    `↑ ${format(tunnel[`client_${what}`])}`,
  ),
  element(
    'span',
    { class: 'backend', title: 'from the backend' },
    `↓ ${format(tunnel[`backend_${what}`])}`,
  ),
];

const ago = (seconds) => (seconds === 0 ? 'now' : duration(seconds));

/** `say` gives a cell's text, or its lines as elements. */
export const COLUMNS = [
  { name: 'id', head: 'Tunnel', sort: 'id', isNumber: true },
  {
    name: 'client',
    head: 'Client',
    sort: 'client',
    isAddress: true,
    say: (tunnel) => tunnel.client,
  },
  {
    name: 'request',
    head: 'Route',
    sort: 'route',
    say: (tunnel) => [
      element('span', {}, tunnel.route),
      element('span', { class: 'aside' }, `${tunnel.host}${tunnel.path}`),
    ],
  },
  {
    name: 'backend',
    head: 'Backend',
    sort: 'backend',
    say: (tunnel) => [
      element('span', { class: 'address' }, tunnel.backend),
      element('span', { class: 'aside' }, tunnel.pool),
    ],
  },
  {
    name: 'age',
    head: 'Age',
    sort: 'age',
    isNumber: true,
    say: (tunnel) => duration(tunnel.age_seconds),
  },
  {
    name: 'messages',
    head: 'Messages',
    sort: 'messages',
    isNumber: true,
    say: (tunnel) => both(tunnel, 'messages', brief),
  },
  {
    name: 'bytes',
    head: 'Bytes',
    sort: 'bytes',
    isNumber: true,
    say: (tunnel) => both(tunnel, 'bytes', bytes),
  },
  {
    name: 'client-heard',
    head: 'Heard',
    of: 'client',
    sort: 'client_heard',
    isNumber: true,
    say: (tunnel) => ago(tunnel.client_heard_seconds),
  },
  {
    name: 'client-trip',
    head: 'Round trip',
    short: 'Trip',
    of: 'client',
    sort: 'client_round_trip',
    isNumber: true,
    say: (tunnel) => roundTrip(tunnel.client_round_trip_seconds),
  },
  {
    name: 'backend-heard',
    head: 'Heard',
    of: 'backend',
    sort: 'backend_heard',
    isNumber: true,
    say: (tunnel) => ago(tunnel.backend_heard_seconds),
  },
  {
    name: 'backend-trip',
    head: 'Round trip',
    short: 'Trip',
    of: 'backend',
    sort: 'backend_round_trip',
    isNumber: true,
    say: (tunnel) => roundTrip(tunnel.backend_round_trip_seconds),
  },
  { name: 'affinity', head: 'Affinity', say: (tunnel) => tunnel.affinity },
];

/** What a column is called where no head stands above it. */
export const labelOf = ({ head, short = head, of }) => (of ? `${short}, ${of}` : head);
