// Questions to the operator, each a dialog of its own.

import { element } from './dom.js';

/** Whether there is a dialog that somebody reads. */
export const isOpen = () => document.querySelector('dialog[open]') !== null;

let asked = 0;

/**
 * Asks, and waits for what was entered into the `fields` by their names; null if it was called off,
 * which can be done unless it is not optional.
 */
export function ask({
  title,
  lines = [],
  fields = [],
  action,
  isDangerous = false,
  isOptional = true,
}) {
  asked += 1;
  const id = `question-${asked}`;
  const dialog = element('dialog', { 'aria-labelledby': id, class: 'question' });
  const form = element(
    'form',
    {},
    element('h2', { id }, title),
    ...lines.map((line) => element('p', {}, line)),
    fields.length > 0 ? element('div', { class: 'fields' }, ...fields.map(field)) : null,
    element(
      'div',
      { class: 'buttons' },
      isOptional
        ? element('button', { type: 'button', click: () => dialog.close() }, 'Cancel')
        : null,
      element('button', { type: 'submit', class: isDangerous ? 'danger' : 'primary' }, action),
    ),
  );
  dialog.append(form);

  return new Promise((resolve) => {
    let answer = null;
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      answer = Object.fromEntries(new FormData(form));
      dialog.close();
    });
    dialog.addEventListener('cancel', (event) => isOptional || event.preventDefault());
    dialog.addEventListener('close', () => {
      dialog.remove();
      if (answer === null && !isOptional) return void show(document.body, dialog);
      resolve(answer);
    });
    show(document.body, dialog);
  });
}

function show(parent, dialog) {
  parent.append(dialog);
  dialog.showModal();
}

function field({ name, label, hint, choices, ...attributes }) {
  const input = choices
    ? element(
        'select',
        { name, ...attributes },
        ...choices.map(([value, text]) => element('option', { value }, text)),
      )
    : element('input', {
        name,
        type: 'text',
        autocomplete: 'off',
        spellcheck: 'false',
        ...attributes,
      });
  return element(
    'label',
    { class: 'field' },
    element('span', {}, label),
    input,
    hint ? element('small', {}, hint) : null,
  );
}
