/** What lies below on the live page: a link with `data-view` changes the address, and `show()` asks for what it then says. */

const OURS = ["view", "log", "before"];

export class Views {
  constructor(root, show) {
    root.addEventListener("click", (event) => {
      const link = event.target.closest("a[data-view]");
      if (!link || event.metaKey || event.ctrlKey || event.shiftKey) return;
      event.preventDefault();
      window.history.pushState(null, "", merged(link.href));
      show();
    });
    addEventListener("popstate", show);
  }
}

/** The address of the page with what a link says of ours. */
function merged(href) {
  const [address, asked] = [new URL(location), new URL(href).searchParams];
  for (const name of OURS) {
    address.searchParams.delete(name);
    if (asked.has(name)) address.searchParams.set(name, asked.get(name));
  }
  address.hash = "";
  return address;
}
