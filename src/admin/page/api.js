// Requests to the proxy that has sent this page, and its refusals.

import * as token from './token.js';

const PATIENCE_MS = 10_000;

/** The proxy's own words for why it did not do something. */
export class Refused extends Error {
  constructor(status, words) {
    super(words);
    this.status = status;
  }
}

/** `parts` as a path: the name of a backend may hold slashes. */
export const path = (...parts) => parts.map(encodeURIComponent).join('/');

export const fetchJson = async (where, query = {}) => (await open(where, { query })).json();

export async function post(where, body) {
  const headers = body === undefined ? {} : { 'Content-Type': 'application/json' };
  const response = await open(where, {
    method: 'POST',
    headers,
    body: body && JSON.stringify(body),
  });
  return response.json();
}

/** The answer, once its head is there. Where a token is wanted the operator is asked for it. */
export async function open(where, { query = {}, headers = {}, signal, ...rest } = {}) {
  // Relative to the page, which may live below a prefix.
  const url = new URL(`api/v1/${where}`, document.baseURI);
  url.search = new URLSearchParams(query);
  for (;;) {
    const shown = token.current();
    const authorization = shown ? { Authorization: `Bearer ${shown}` } : {};
    const response = await answered(
      url,
      { ...rest, headers: { ...headers, ...authorization } },
      signal,
    );
    if (response.ok) return response;
    const refused = new Refused(response.status, await words(response));
    if (response.status !== 401) throw refused;
    await token.another(shown);
  }
}

/** The patience is for the head alone: the body may be a stream without an end. */
async function answered(url, init, signal) {
  const impatience = new AbortController();
  const timer = setTimeout(
    () => impatience.abort(new Error('there was no answer within 10 s')),
    PATIENCE_MS,
  );
  const signals = signal ? [signal, impatience.signal] : [impatience.signal];
  try {
    return await fetch(url, { ...init, cache: 'no-store', signal: AbortSignal.any(signals) });
  } catch (error) {
    throw error instanceof TypeError ? new Error('the proxy cannot be reached') : error;
  } finally {
    clearTimeout(timer);
  }
}

async function words(response) {
  const body = await response.json().catch(() => null);
  return body?.error ?? `the answer was ${response.status} ${response.statusText}`;
}
