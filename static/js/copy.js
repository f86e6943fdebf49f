/** Buttons with `data-copy`: the text of the element with that id goes to the clipboard, or is selected where pages may not write there. */

document.addEventListener("click", async ({ target }) => {
  const button = target.closest("[data-copy]");
  if (!button) return;
  const source = document.getElementById(button.dataset.copy);
  if (!navigator.clipboard) {
    getSelection().selectAllChildren(source);
    return window.progeny.toast("Selected: press Ctrl+C to copy.");
  }
  await navigator.clipboard.writeText(source.textContent);
  window.progeny.toast("Copied.", "good");
});
