// One chart: lines over time, and above them a legend that says what they are at, now or where the
// cursor is.

import { colour } from './colours.js';
import { element, say } from './dom.js';
import { minute, time } from './format.js';

// uPlot comes as a classic script, as it lies in its package.
const { uPlot } = globalThis;

const TIME_AXIS_HEIGHT = 22;
/** The same for all: a moment stands at the same place in each. */
const VALUE_AXIS_WIDTH = 52;
const FONT = '11px system-ui, sans-serif';

/** All charts show the cursor of the one that it is over. */
const CURSOR = { key: 'longwire' };

export class Chart {
  #plot;
  #lines;
  #figures;
  #moment = element('span', { class: 'moment' });
  #frame = element('div', { class: 'plot empty', 'aria-hidden': 'true' });
  #resting = {};

  /**
   * `figures` are what the legend has: `{name, label, format}`, and with a `colour` each is a line
   * as well, of the column that it is named after. It may be `isDashed`, `isFilled` or `isStepped`,
   * go `isDownward` from zero, or be `isSparse`, where seconds without a value are nothing special.
   */
  constructor({ title, figures, axis, isLogarithmic = false, columns = figures.length }) {
    this.#lines = figures.filter((figure) => figure.colour);
    this.#figures = figures.map((figure) => ({ ...figure, value: element('dd') }));
    this.root = element(
      'article',
      { class: 'panel chart' },
      element('header', {}, element('h3', {}, title), this.#moment),
      element('dl', { class: `legend of-${columns}` }, ...this.#figures.map(entry)),
      this.#frame,
    );
    this.#plot = new uPlot(this.#options(axis, isLogarithmic), [[]], this.#frame);
    new ResizeObserver(() => this.#fit()).observe(this.#frame);
    document.addEventListener('themechange', () => this.#plot.redraw());
  }

  /** What the legend says while the cursor is nowhere. */
  rest(values) {
    this.#resting = values;
    this.#tell();
  }

  show(history, spanSeconds) {
    this.#frame.classList.toggle('empty', history.last === 0);
    const values = this.#lines.map(({ name, isDownward }) =>
      isDownward ? history.column(name).map((value) => -value) : history.column(name),
    );
    const max = history.last;
    this.#plot.batch(() => {
      this.#plot.setData([history.column('at'), ...values], false);
      this.#plot.setScale('x', { min: max - spanSeconds, max });
    });
    this.#tell();
  }

  /** Says the figures at the cursor, or those of now. */
  #tell() {
    const index = this.#plot?.cursor.idx;
    const at = index == null ? undefined : this.#plot.data[0][index];
    say(this.#moment, at === undefined ? '' : time(at));
    for (const { name, format, value } of this.#figures)
      say(value, format(at === undefined ? this.#resting[name] : this.#valueAt(name, index)));
  }

  /** What a line is at there; other figures are known of now alone. */
  #valueAt(name, index) {
    const line = this.#lines.findIndex((figure) => figure.name === name);
    const value = line < 0 ? null : this.#plot.data[line + 1][index];
    return value == null ? null : Math.abs(value);
  }

  #fit() {
    const { clientWidth: width, clientHeight: height } = this.#frame;
    if (width > 0) this.#plot.setSize({ width, height });
  }

  #options(axis, isLogarithmic) {
    const isMirrored = this.#lines.some((figure) => figure.isDownward);
    const { range, splits } = isLogarithmic ? LOGARITHMIC : isMirrored ? MIRRORED : LINEAR;
    const marks = splits && {
      splits: (_, __, least, most) => splits(least, most),
      filter: (_, values) => values,
    };
    return {
      width: 300,
      height: 130,
      padding: [6, 20, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, sync: CURSOR, points: { size: 7 } },
      scales: { x: { time: true }, y: { range, distr: isLogarithmic ? 3 : 1 } },
      axes: [
        {
          ...AXIS,
          size: TIME_AXIS_HEIGHT,
          space: 56,
          incrs: [60, 120, 300, 600, 900, 1200],
          values: (_, at) => at.map(minute),
          grid: { show: false },
        },
        {
          ...AXIS,
          ...marks,
          incrs: WHOLE,
          size: VALUE_AXIS_WIDTH,
          space: 28,
          values: (_, values) => values.map((value) => axis(Math.abs(value))),
        },
      ],
      series: [{}, ...this.#lines.map(line)],
      hooks: { setCursor: [() => this.#tell()] },
    };
  }
}

const AXIS = {
  font: FONT,
  stroke: () => colour('--muted'),
  grid: { stroke: () => colour('--grid'), width: 1 },
  ticks: { show: false },
  gap: 6,
};

/** Steps from mark to mark: there are no halves of tunnels, nor need there be of others. */
const WHOLE = Array.from({ length: 15 }, (_, power) =>
  [1, 2, 5].map((digit) => digit * 10 ** power),
).flat();

/** A little room above; and something to see where there is nothing but zeros. */
const ROOM = 1.15;

const LINEAR = { range: (_, __, most) => [0, Math.max(1, (most ?? 0) * ROOM)] };

const MIRRORED = {
  range: (_, least, most) => {
    const edge = Math.max(1, (most ?? 0) * ROOM, -(least ?? 0) * ROOM);
    return [-edge, edge];
  },
  splits: (_, most) => [-round(most), 0, round(most)],
};

const LOGARITHMIC = {
  range: (_, least, most) => (least > 0 ? uPlot.rangeLog(least, most, 10, true) : [0.0001, 1]),
  splits: decades,
};

/** The roundest number below: one, two or five, and zeros. */
function round(number) {
  const power = 10 ** Math.floor(Math.log10(number));
  return [5, 2, 1].find((digit) => digit * power <= number) * power;
}

function decades(least, most) {
  const first = Math.ceil(Math.log10(least) - 1e-9);
  const last = Math.floor(Math.log10(most) + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, index) => 10 ** (first + index));
}

function line({ colour: property, isDashed, isFilled, isStepped, isSparse }) {
  return {
    paths: isStepped ? uPlot.paths.stepped({ align: -1 }) : undefined,
    stroke: () => colour(property),
    fill: isFilled ? () => colour(`${property}-faint`) : undefined,
    width: isStepped ? 1 : 1.5,
    dash: isDashed ? [4, 3] : undefined,
    points: { show: false },
    spanGaps: isSparse,
  };
}

function entry({ label, colour: property, isDashed, value }) {
  const swatch = property ? element('span', { class: `swatch${isDashed ? ' dashed' : ''}` }) : null;
  swatch?.style.setProperty('--line', `var(${property})`);
  return element('div', {}, element('dt', {}, swatch, label), value);
}
