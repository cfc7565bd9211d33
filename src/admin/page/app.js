// The dashboard: what the proxy tells once a second, given to those who show it.

import { Charts } from './charts.js';
import { Connection } from './connection.js';
import { Ends } from './ends.js';
import { Facts } from './facts.js';
import { count } from './format.js';
import { Journal } from './journal.js';
import { Pools } from './pools.js';
import { Stream } from './stream.js';
import { TunnelsSection } from './tunnels.js';

const chartsHost = document.getElementById('charts');

const charts = new Charts(chartsHost, document.getElementById('span'));
const ends = new Ends(chartsHost);
const facts = new Facts();
const journal = new Journal();
const tunnels = new TunnelsSection();
const pools = new Pools((pool, backend) => tunnels.showOnly(pool, backend));
const connection = new Connection(() => stream.retry());
const stream = new Stream('events', { journal: (entry) => journal.add(entry), now }, connected);

let latest = null;
let isToBeDrawn = false;

/** Nothing is drawn while nobody looks: a hidden page gets no frames. */
function now(told) {
  latest = told;
  charts.add(told.sample);
  document.title = title(told);
  if (isToBeDrawn) return;
  isToBeDrawn = true;
  requestAnimationFrame(draw);
}

function draw() {
  isToBeDrawn = false;
  const { status, pools: told, sample } = latest;
  facts.update(status);
  charts.draw(status);
  ends.update(status);
  pools.update(told, sample.at);
  tunnels.know(told);
}

let wasLive = false;

function connected(state) {
  connection.show(state);
  const isLive = state.name === 'live';
  // What was missed meanwhile is in the history.
  if (isLive && !wasLive) charts.reload();
  wasLive = isLive;
  if (!isLive) document.title = `${state.name === 'lost' ? 'lost' : '…'} · longwire`;
}

/** What one wants to know of a page that is one of many tabs. */
function title({ status, pools: told }) {
  const out = told
    .flatMap((pool) => pool.backends)
    .filter(({ state }) => state === 'down' || state === 'ejected').length;
  return `${out > 0 ? `${out} out · ` : ''}${count(status.tunnels.open)} · longwire`;
}

stream.run();
