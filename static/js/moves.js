/** A table in the order of ranks, put in the place of an older one: says beside every rank by how many places its row has moved. */

const ranked = (root) => [...root.querySelectorAll("[data-by-place] tbody:not(.unranked) tr[data-candidate]")];

/** The place of every ranked row below the root, by candidate. */
export const places = (root) => new Map(ranked(root).map(({ dataset }, i) => [dataset.candidate, i]));

/** Mark the rows below the root that stood elsewhere `before`, which `places` told; rows that are new are not marked. */
export function markMoves(root, before) {
  ranked(root).forEach((row, i) => {
    const up = (before.get(row.dataset.candidate) ?? i) - i;
    if (up) row.cells[0].prepend(mark(up));
  });
}

function mark(up) {
  const way = up > 0 ? "up" : "down";
  const n = Math.abs(up);
  const words = `${way} ${n} place${n === 1 ? "" : "s"}`;
  const said = Object.assign(document.createElement("span"), { className: "moved", title: words });
  said.dataset.way = way;
  said.append(
    Object.assign(document.createElement("span"), { textContent: `${up > 0 ? "▲" : "▼"}${n}`, ariaHidden: "true" }),
    Object.assign(document.createElement("span"), { textContent: `${words} `, className: "visually-hidden" }),
  );
  return said;
}
