/** Candidates by one gene and their score, and the mean score around each value:
    `{x: {title, low, high}, y: {title, in_percent}, points: [[x, y], …], curve, ids, names, note}`.
    Where `y` is in percent already, its numbers are written as they are. */

import { percent } from "../figures.js";
import { axis, shares, written } from "./axes.js";

export function option({ x, y, points, curve }, colours, width) {
  return {
    grid: { left: 56, right: 16, top: 28, bottom: 44 },
    xAxis: axis(colours, { type: "value", name: x.title, min: x.low, max: x.high, nameGap: 28, nameTruncate: { maxWidth: width - 90 } }),
    yAxis: axis(colours, { type: "value", name: y.title, nameLocation: "end", scale: true, ...(y.in_percent ? {} : { axisLabel: shares(colours) }) }),
    series: [
      { type: "scatter", data: points, symbolSize: points.length > 500 ? 5 : 7, itemStyle: { color: colours["chart-candidate"], opacity: points.length > 500 ? 0.5 : 0.75 }, emphasis: { itemStyle: { color: colours.accent, opacity: 1, borderColor: colours.ink, borderWidth: 1.5 } } },
      { type: "line", data: curve, silent: true, symbol: "none", tooltip: { show: false }, lineStyle: { color: colours["chart-best"], width: 2 } },
    ],
  };
}

const score = (y, value) => (y.in_percent ? written(value) : percent(value));

export const say = ({ x, y, points, names }, i) => `${names[i]}\n${x.title} ${written(points[i][0])}\n${y.title} ${score(y, points[i][1])}`;

export const open = ({ ids }, i) => ids[i];

export const rows = ({ x, y, points, names }) => [["candidate", x.title, y.title], ...points.map(([place, value], i) => [names[i], place, y.in_percent ? value : percent(value)])];
