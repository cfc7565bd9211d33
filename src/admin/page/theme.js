// Which theme the page has. Not a module: it runs before anything is painted, so that nobody who has
// chosen dark is blinded first.

(() => {
  const THEMES = ['system', 'light', 'dark'];
  const KEY = 'longwire.theme';
  const root = document.documentElement;

  const remembered = () => {
    try {
      return THEMES.find((theme) => theme === localStorage.getItem(KEY)) ?? 'system';
    } catch {
      return 'system'; // Storage may be forbidden; the choice then lasts as long as the page.
    }
  };

  const remember = (theme) => {
    try {
      localStorage.setItem(KEY, theme);
    } catch {
      // As above.
    }
  };

  const tell = () => document.dispatchEvent(new Event('themechange'));

  const apply = (theme) => {
    root.dataset.theme = theme;
    tell();
  };

  const label = (button) => {
    const { theme } = root.dataset;
    const name = theme === 'system' ? 'as the system has it' : theme;
    button.title = `Theme: ${name}`;
    button.setAttribute('aria-label', button.title);
    button.querySelector('use').setAttribute('href', `#icon-${theme}`);
  };

  apply(remembered());
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', tell);

  document.addEventListener('DOMContentLoaded', () => {
    const button = document.getElementById('theme');
    label(button);
    button.addEventListener('click', () => {
      const next = THEMES[(THEMES.indexOf(root.dataset.theme) + 1) % THEMES.length];
      remember(next);
      apply(next);
      label(button);
    });
  });
})();
