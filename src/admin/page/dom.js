// Elements, made and kept up to date. Text gets in as text alone: what a client has put into a path
// must not become markup.

/** An element. A child is a node or a text; one that is null is left out. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === 'function') made.addEventListener(key, value);
    else if (value === true) made.setAttribute(key, '');
    else if (value !== false && value != null) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child != null));
  return made;
}

/** An element of SVG. */
export function graphic(name, attributes = {}, ...children) {
  const made = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** One of the icons at the top of the page. */
export function icon(name) {
  const use = graphic('use', { href: `#icon-${name}` });
  return graphic('svg', { class: 'icon', 'aria-hidden': 'true' }, use);
}

/** Sets a text. One that stays is not touched, so that a selection in it stays too. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Sets an attribute, or takes it away if there is no value. */
export function mark(node, name, value) {
  if (value == null || value === false) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

const known = new WeakMap();

/**
 * Makes the children of `container` those of `items`, in their order. `create` makes for an item
 * something with a `root` and an `update(item)`; it is kept as long as an item has that key, and so
 * are the focus and whatever else its elements remember.
 */
export function keep(container, items, keyOf, create) {
  const before = known.get(container) ?? new Map();
  const after = new Map(
    items.map((item) => [keyOf(item), before.get(keyOf(item)) ?? create(item)]),
  );
  for (const [key, { root }] of before) if (!after.has(key)) root.remove();
  known.set(container, after);

  const focused = document.activeElement;
  let place = container.firstElementChild;
  for (const item of items) {
    const kept = after.get(keyOf(item));
    kept.update(item);
    if (kept.root === place) place = place.nextElementSibling;
    else container.insertBefore(kept.root, place);
  }
  // An element that is moved loses the focus.
  if (container.contains(focused)) focused.focus({ preventScroll: true });
}
