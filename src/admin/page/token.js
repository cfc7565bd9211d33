// What shows the proxy that the operator may.

import { ask } from './dialog.js';

const KEY = 'longwire.token';

let asking = null;

export const current = () => sessionStorage.getItem(KEY);

/** Waits for another token than `refused`, which several requests may do at the same time. */
export function another(refused) {
  if (current() !== refused) return Promise.resolve();
  asking ??= askFor(refused).finally(() => {
    asking = null;
  });
  return asking;
}

async function askFor(refused) {
  const { token } = await ask({
    title: 'Who are you?',
    lines: [
      refused
        ? 'This is not the token that the proxy knows.'
        : 'The proxy asks for a token: it is admin.token in its configuration.',
      'It is kept until this tab is closed.',
    ],
    fields: [
      {
        name: 'token',
        label: 'Token',
        type: 'password',
        required: true,
        autocomplete: 'current-password',
      },
    ],
    action: 'Go on',
    isOptional: false,
  });
  sessionStorage.setItem(KEY, token.trim());
}
