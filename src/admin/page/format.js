// Numbers, times and codes, as one reads them.

const WHOLE = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const ONE_PLACE = new Intl.NumberFormat('en', {
  minimumFractionDigits: 1,
  maximumFractionDigits: 1,
});
const TIME = new Intl.DateTimeFormat('en-GB', {
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
});
const MINUTE = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit' });
const DAY = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short' });
const FULL = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'long' });

export const NOTHING = '–';

const orNothing = (format) => (value) => (value == null ? NOTHING : format(value));

/** The largest unit that is not larger than the value. */
function scaled(value, step, units) {
  let left = value;
  let power = 0;
  while (left >= step && power < units.length - 1) {
    left /= step;
    power += 1;
  }
  const digits = power === 0 || left >= 100 ? WHOLE : ONE_PLACE;
  return `${digits.format(left)}${units[power]}`;
}

export const count = orNothing((value) => WHOLE.format(value));

/** A count in little room. */
export const brief = orNothing((value) =>
  value < 10_000 ? WHOLE.format(value) : scaled(value, 1000, ['', 'k', 'M', 'G']),
);

export const rate = orNothing((value) =>
  value > 0 && value < 10 ? ONE_PLACE.format(value) : brief(value),
);

export const bytes = orNothing((value) => scaled(value, 1000, [' B', ' kB', ' MB', ' GB', ' TB']));

export const percent = (part) => `${WHOLE.format(part * 100)} %`;

export function plural(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

/** A round trip. */
export const roundTrip = orNothing((seconds) => {
  const ms = seconds * 1000;
  if (ms >= 1000) return `${ONE_PLACE.format(seconds)} s`;
  if (ms >= 10) return `${WHOLE.format(ms)} ms`;
  return ms >= 1 ? `${ONE_PLACE.format(ms)} ms` : `${ms.toPrecision(2)} ms`;
});

const UNITS = [
  ['d', 86_400],
  ['h', 3600],
  ['min', 60],
  ['s', 1],
];

/** A duration, in its two largest units. */
export const duration = orNothing((seconds) => {
  const whole = Math.max(0, Math.floor(seconds));
  const first = UNITS.findIndex(([, size]) => whole >= size);
  if (first < 0) return '0 s';
  const [unit, size] = UNITS[first];
  const next = UNITS[first + 1];
  const rest = next ? Math.floor((whole % size) / next[1]) : 0;
  return `${Math.floor(whole / size)} ${unit}${rest ? ` ${rest} ${next[0]}` : ''}`;
});

const date = (at) => new Date(at * 1000);

export const time = (at) => TIME.format(date(at));

export const minute = (at) => MINUTE.format(date(at));

export const moment = (at) => FULL.format(date(at));

/** The time, and the day where the time alone could be that of another day. */
export function when(at) {
  const isNear = Date.now() / 1000 - at < 12 * 3600;
  return isNear ? time(at) : `${DAY.format(date(at))} ${minute(at)}`;
}

/** RFC 6455, section 7.4.1, and the registry of IANA. */
const CODES = {
  1000: 'normal closure',
  1001: 'going away',
  1002: 'protocol error',
  1003: 'unsupported data',
  1007: 'invalid payload',
  1008: 'policy violation',
  1009: 'message too big',
  1010: 'mandatory extension',
  1011: 'internal error',
  1012: 'service restart',
  1013: 'try again later',
  1014: 'bad gateway',
};

/** What a close code means, if that is agreed upon. */
export const meaning = (code) => CODES[code];
