// Which charts there are, and how far back they go.

import { Chart } from './chart.js';
import { element, mark } from './dom.js';
import { brief, bytes, count, rate, roundTrip } from './format.js';
import { History } from './history.js';
import { attempt } from './toast.js';

const SPANS = [
  { seconds: 300, label: '5 min' },
  { seconds: 3600, label: '1 h' },
];

/** A round trip beside the axis: all are powers of ten. */
const shortly = (seconds) =>
  seconds < 0.95 ? `${Number((seconds * 1000).toPrecision(1))} ms` : `${seconds} s`;

const perSecond = (format) => (value) => (value == null ? format(value) : `${format(value)}/s`);

const leg = (side) => [
  {
    name: `${side}_p50`,
    label: `${side} p50`,
    format: roundTrip,
    colour: `--${side}`,
    isSparse: true,
  },
  { name: `${side}_p90`, label: 'p90', format: roundTrip },
  {
    name: `${side}_p99`,
    label: 'p99',
    format: roundTrip,
    colour: `--${side}`,
    isDashed: true,
    isSparse: true,
  },
];

const bothWays = (what, format) => [
  { name: `client_${what}`, label: 'from clients', format: perSecond(format), colour: '--client' },
  {
    name: `backend_${what}`,
    label: 'from backends',
    format: perSecond(format),
    colour: '--backend',
  },
];

const CHARTS = [
  {
    title: 'Tunnels',
    axis: brief,
    figures: [
      { name: 'tunnels', label: 'open', format: count, colour: '--tunnels', isFilled: true },
      { name: 'closing', label: 'told to close', format: count },
    ],
  },
  {
    title: 'Opened and ended',
    axis: brief,
    figures: [
      {
        name: 'opened',
        label: 'opened',
        format: perSecond(rate),
        colour: '--opened',
        isStepped: true,
        isFilled: true,
      },
      {
        name: 'ended',
        label: 'ended',
        format: perSecond(rate),
        colour: '--ended',
        isStepped: true,
        isFilled: true,
        isDownward: true,
      },
    ],
  },
  {
    title: 'Round trips',
    axis: shortly,
    isLogarithmic: true,
    columns: 3,
    figures: [...leg('client'), ...leg('backend')],
  },
  { title: 'Messages', axis: brief, figures: bothWays('messages', rate) },
  { title: 'Bytes', axis: bytes, figures: bothWays('bytes', bytes) },
];

export class Charts {
  #charts = CHARTS.map((chart) => new Chart(chart));
  #histories = new Map(SPANS.map(({ seconds }) => [seconds, new History(seconds)]));
  #span = SPANS[0].seconds;

  constructor(host, choice) {
    host.append(...this.#charts.map((chart) => chart.root));
    choice.append(...SPANS.map((span) => this.#button(span)));
  }

  /** Fetches what is shown: at first, and whenever something may have been missed. */
  async reload() {
    await attempt('The history could not be had', () => this.#history.load());
    this.draw();
  }

  add(sample) {
    for (const history of this.#histories.values()) history.add(sample);
    if (this.#history.isDue && !document.hidden) this.reload();
  }

  draw(status) {
    for (const chart of this.#charts) {
      if (status) chart.rest(resting(status));
      chart.show(this.#history, this.#span);
    }
  }

  get #history() {
    return this.#histories.get(this.#span);
  }

  #button({ seconds, label }) {
    const choose = () => {
      this.#span = seconds;
      for (const other of button.parentElement.children)
        mark(other, 'aria-pressed', other === button);
      this.reload();
    };
    const button = element(
      'button',
      { type: 'button', 'aria-pressed': String(seconds === this.#span), click: choose },
      label,
    );
    return button;
  }
}

/** What the legends say of now: not of the last second, which is restless, but of the last ten. */
function resting({ tunnels, rates, round_trips: trips }) {
  const ofLeg = (side) =>
    Object.entries(trips[side] ?? {}).map(([name, value]) => [`${side}_${name}`, value]);
  return {
    ...rates,
    tunnels: tunnels.open,
    closing: tunnels.closing,
    ...Object.fromEntries([...ofLeg('client'), ...ofLeg('backend')]),
  };
}
