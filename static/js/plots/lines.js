/** The best so far of several runs, as steps; dashed where the best parent of each is: `{x, y, lines: [{name, x: [], y: [], parent}]}`. */

import { percent } from "../figures.js";
import { axis, shares, written } from "./axes.js";

const SHAPES = ["circle", "rect", "triangle", "diamond", "roundRect", "pin"];

export function option({ x, y, lines }, colours) {
  const lowest = Math.min(...lines.flatMap(({ y: scores, parent }) => [...scores, parent ?? 1]));
  return {
    legend: { top: 0, left: 0, type: "scroll", textStyle: { color: colours.ink }, data: lines.map(({ name }, i) => label(name, i)) },
    grid: { left: 56, right: 20, top: 56, bottom: 44 },
    xAxis: axis(colours, { type: "value", name: x, nameGap: 28, min: 0 }),
    yAxis: axis(colours, { type: "value", name: y, nameLocation: "end", nameTextStyle: { color: colours["ink-muted"], align: "left", padding: [0, 0, 0, -44] }, min: Math.floor(10 * lowest) / 10, axisLabel: shares(colours) }),
    series: lines.map(({ name, x: at, y: scores, parent }, i) => ({
      type: "line",
      name: label(name, i),
      step: "end",
      data: at.map((place, k) => [place, scores[k]]),
      symbol: SHAPES[i],
      symbolSize: 7,
      lineStyle: { width: 2 },
      markLine: parent === null ? undefined : { silent: true, symbol: "none", data: [{ yAxis: parent }], lineStyle: { type: "dashed", color: colours.series[i], opacity: 0.7 }, label: { formatter: `best parent, ${i + 1}`, position: "insideEndTop", color: colours["ink-muted"], fontSize: 11 } },
    })),
    tooltip: { formatter: ({ seriesName, value: [place, score] }) => `${seriesName}\n${x} ${written(place)}\n${y} ${percent(score)}` },
  };
}

/** Runs may have the same name. */
const label = (name, i) => `${i + 1}  ${name}`;

export const rows = ({ x, y, lines }) => [["run", x, y], ...lines.flatMap(({ name, x: at, y: scores }, i) => at.map((place, k) => [label(name, i), place, percent(scores[k])]))];
