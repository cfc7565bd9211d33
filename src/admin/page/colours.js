// The theme's colours for what is drawn on a canvas, which knows no custom properties.

const probe = document.createElement('span');
probe.hidden = true;

let known = new Map();

document.addEventListener('themechange', () => {
  known = new Map();
});

/** The colour that a custom property has now. */
export function colour(property) {
  if (!known.has(property)) {
    if (!probe.isConnected) document.body.append(probe);
    probe.style.color = `var(${property})`;
    known.set(property, getComputedStyle(probe).color);
  }
  return known.get(property);
}
