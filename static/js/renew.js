/** An answer takes the place of what is shown by changing only what differs: a link or button stays the element that it was, so that a press into
    which an answer falls arrives, and the keyboard, what is unfolded, ticked or typed, local times and pictures stay.
    For htmx this is the swap `morph`, or `morph:innerHTML`. What leads elsewhere than before is never the same link or form. */

const { Idiomorph } = window;
const LEADS = "a[href]:not([id]), form[action]:not([id])";
const LENT = "leads-to:";

/** Put what `next` holds, an element or a fragment, in the place of `current`, or with `innerHTML` of what is in it. Returns what stands there. */
export function renew(current, next, morphStyle = "outerHTML") {
  const asked = new Set(); // elements that ask htmx for something else now
  lend(current);
  lend(next);
  const nodes = Idiomorph.morph(current, next instanceof DocumentFragment && morphStyle === "outerHTML" ? next.children : next, {
    morphStyle,
    callbacks: {
      beforeNodeMorphed: (old, fresh) => !stays(old, fresh),
      beforeAttributeUpdated(name, element) {
        if (name.startsWith("hx-")) asked.add(element);
        return !isOfReader(name, element);
      },
    },
  });
  for (const element of document.querySelectorAll(`[id^="${LENT}"]`)) element.removeAttribute("id");
  asked.forEach((element) => window.htmx.process(element));
  return nodes;
}

/** For as long as they are compared, links and forms have ids that say where they lead: those of one goal are told apart by their order. */
function lend(root) {
  const known = new Map();
  for (const element of root.querySelectorAll(LEADS)) {
    const goal = element.getAttribute("href") ?? element.getAttribute("action");
    const n = known.get(goal) ?? 0;
    known.set(goal, n + 1);
    element.setAttribute("id", `${LENT}${n} ${goal}`);
  }
}

/** What scripts have written stays: a time in the reader's zone, a picture. */
const stays = (old, fresh) => old.nodeType === Node.ELEMENT_NODE && (old.matches("[data-plot]") || (old.matches("time[title]") && old.dateTime === fresh.dateTime));

function isOfReader(name, element) {
  if (name === "value") return element.defaultValue !== undefined && element.value !== element.defaultValue;
  if (name === "checked") return element.checked !== element.defaultChecked;
  if (name === "selected") return element.selected !== element.defaultSelected;
  return name === "open" || name === "data-sent";
}

window.htmx.defineExtension("morph", {
  isInlineSwap: (style) => style === "morph",
  handleSwap(style, target, fragment) {
    if (style === "morph") return renew(target, fragment);
    return style === "morph:innerHTML" ? renew(target, fragment, "innerHTML") : false;
  },
});
