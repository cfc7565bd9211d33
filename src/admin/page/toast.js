// Short words about what has come of an order.

import { element, icon } from './dom.js';

const DONE_MS = 6_000;
const REFUSED_MS = 30_000;

export const done = (text) => show('done', 'ready', text, DONE_MS);

export const refused = (what, error) =>
  show('refused', 'error', `${what}: ${error.message}`, REFUSED_MS);

/** Does what was asked, and says so if it is refused. */
export async function attempt(what, order) {
  try {
    return await order();
  } catch (error) {
    refused(what, error);
    return null;
  }
}

function show(kind, symbol, text, forMs) {
  const leave = () => toast.remove();
  const close = element(
    'button',
    { type: 'button', class: 'quiet', 'aria-label': 'Dismiss', click: leave },
    icon('end'),
  );
  const toast = element(
    'div',
    { class: `toast ${kind}` },
    icon(symbol),
    element('p', {}, text),
    close,
  );
  document.getElementById('toasts').append(toast);
  setTimeout(leave, forMs);
}
