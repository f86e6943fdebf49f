/** The mean score around each place of two genes in bands, where any candidate was near, and the candidates:
    `{x, y, z: {title, low, high}, n_cells, cells: [[column, row, score], …], points, scores, ids, names, note}`. */

import { percent } from "../figures.js";
import { axis, written } from "./axes.js";

export function option({ x, y, z, n_cells: n, cells, points }, colours, width) {
  const short = (maxWidth) => ({ nameTruncate: { maxWidth } });
  const of = ({ title, low, high }) => axis(colours, { type: "value", name: title, min: low, max: high, nameGap: 30, splitLine: { show: false } });
  const place = ({ low, high }, at) => low + ((at + 0.5) / n) * (high - low);
  return {
    grid: { left: 60, right: 16, top: 52, bottom: 44 },
    xAxis: { ...of(x), ...short(width - 90) },
    yAxis: { ...of(y), ...short(190), nameGap: 40 },
    visualMap: { type: "piecewise", splitNumber: 7, min: z.low, max: z.high, precision: 3, seriesIndex: 1, dimension: 2, orient: "horizontal", top: 0, left: 0, itemGap: 2, itemWidth: 18, showLabel: false, text: [percent(z.high), `${z.title} ${percent(z.low)}`], textStyle: { color: colours["ink-muted"] }, inRange: { color: colours.ramp } },
    series: [
      { type: "scatter", z: 3, data: points, symbolSize: 5, itemStyle: { color: colours.surface, borderColor: colours.ink, borderWidth: 1 }, emphasis: { scale: 2 } },
      { type: "custom", z: 1, silent: true, data: cells.map(([column, row, score]) => [place(x, column), place(y, row), score]), renderItem: (_, api) => cell(api, (x.high - x.low) / n, (y.high - y.low) / n) },
    ],
  };
}

function cell(api, width, height) {
  const [left, top] = api.coord([api.value(0) - width / 2, api.value(1) + height / 2]);
  const [right, bottom] = api.coord([api.value(0) + width / 2, api.value(1) - height / 2]);
  return { type: "rect", shape: { x: left - 0.5, y: top - 0.5, width: right - left + 1, height: bottom - top + 1 }, style: { fill: api.visual("color") } };
}

export const say = ({ x, y, z, points, scores, names }, i) => `${names[i]}\n${x.title} ${written(points[i][0])}\n${y.title} ${written(points[i][1])}\n${z.title} ${percent(scores[i])}`;

export const open = ({ ids }, i) => ids[i];

export const rows = ({ x, y, z, points, scores, names }) => [["candidate", x.title, y.title, z.title], ...points.map((point, i) => [names[i], ...point, percent(scores[i])])];
