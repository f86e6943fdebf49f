/** A line through every axis for each candidate, coloured by its score; dragging along an axis keeps the candidates in that range:
    `{axes: [{name, low, high}, …], score, lines: [[value, …, score], …], ids, names, note}`. */

import { percent } from "../figures.js";
import { shares, written } from "./axes.js";

export function option({ axes, score, lines }, colours, width) {
  const scores = lines.map((line) => line.at(-1));
  const [low, high] = [Math.min(...scores), Math.max(...scores)];
  const narrow = width < 560;
  const of = (name, dim, more) => ({ dim, name, nameTextStyle: { color: colours.ink, fontSize: narrow ? 10 : 12, lineHeight: narrow ? 12 : 15, width: narrow ? 80 : Math.max(80, width / (axes.length + 2)), overflow: "truncate" }, ...more });
  return {
    parallelAxis: [...axes.map(({ name, low: min, high: max }, i) => of(name.replaceAll(" / ", "\n"), i, { min, max })), of(score, axes.length, { scale: true, axisLabel: shares(colours) })],
    parallel: {
      ...(narrow ? { left: 98, right: 28, top: 20, bottom: 28 } : { left: 64, right: 64, top: 16, bottom: 72 }),
      layout: narrow ? "vertical" : "horizontal",
      parallelAxisDefault: {
        type: "value",
        nameLocation: "start",
        nameGap: 16,
        axisLine: { lineStyle: { color: colours["line-strong"] } },
        axisTick: { show: false },
        splitLine: { show: false },
        axisLabel: { color: colours["chart-axis"], textBorderColor: colours.surface, textBorderWidth: 3 },
        areaSelectStyle: { color: colours.accent, borderColor: colours.accent, opacity: 0.25 },
      },
    },
    visualMap: { show: false, dimension: axes.length, min: low, max: high, inRange: { color: colours.ramp.slice(1) } },
    series: [{ type: "parallel", data: lines, smooth: false, inactiveOpacity: 0.03, activeOpacity: 0.9, progressive: 500, lineStyle: { width: lines.length > 500 ? 1 : 1.5, opacity: lines.length > 500 ? 0.35 : 0.6 } }],
  };
}

export const say = ({ axes, score, lines, names }, i) => [names[i], `${score} ${percent(lines[i].at(-1))}`, ...axes.map(({ name }, axis) => `${name} ${written(lines[i][axis])}`)].join("\n");

export const open = ({ ids }, i) => ids[i];

export const rows = ({ axes, score, lines, names }) => [["candidate", ...axes.map(({ name }) => name), score], ...lines.map((line, i) => [names[i], ...line.slice(0, -1), percent(line.at(-1))])];
