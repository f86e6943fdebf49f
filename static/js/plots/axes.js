/** What kinds of pictures have in common: axes and numbers. */

import { percent } from "../figures.js";

/** An axis in the page's colours; `more` says what it is of. */
export const axis = (colours, more) => ({
  nameLocation: "middle",
  nameTextStyle: { color: colours["ink-muted"] },
  axisLine: { lineStyle: { color: colours["chart-grid"] } },
  axisTick: { show: false },
  axisLabel: { color: colours["chart-axis"], hideOverlap: true },
  splitLine: { lineStyle: { color: colours["chart-grid"] } },
  ...more,
});

/** Labels of an axis of scores. */
export const shares = (colours) => ({ color: colours["chart-axis"], hideOverlap: true, formatter: (share) => percent(share, 0) });

/** A number with four digits that matter. */
export const written = (value) => (Number.isInteger(value) ? `${value}` : `${Number(value.toPrecision(4))}`);
