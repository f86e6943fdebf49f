/** Light or dark: what the person chose on this device, else what the system says. Loaded before the first paint, so nothing flashes. */
(() => {
  const key = "progeny.theme";
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const apply = () => {
    const chosen = localStorage.getItem(key);
    if (chosen) root.dataset.theme = chosen;
    else delete root.dataset.theme;
    document.dispatchEvent(new CustomEvent("theme"));
  };
  const current = () => root.dataset.theme ?? (system.matches ? "dark" : "light");

  window.progeny = {
    /** The colour of a custom property as the browser resolved it for the current theme: "rgb(10, 107, 92)". The event `theme` on document says when to ask again. */
    colour(name) {
      const probe = document.body.appendChild(document.createElement("i"));
      probe.style.color = `var(${name})`;
      const resolved = getComputedStyle(probe).color;
      probe.remove();
      return resolved;
    },
    /** Change to the other theme. Choosing what the system says anyway follows the system again. */
    toggleTheme() {
      const next = current() === "dark" ? "light" : "dark";
      const followsSystem = next === (system.matches ? "dark" : "light");
      if (followsSystem) localStorage.removeItem(key);
      else localStorage.setItem(key, next);
      apply();
    },
  };
  system.addEventListener("change", apply);
  apply();
})();
