/** Cells coloured by a number: `{x: {title, labels}, y: {title, labels}, z: {title, low, high}, cells: [[column, row, value], …]}`. */

import { axis, written } from "./axes.js";

export function option({ x, y, z, cells }, colours, width) {
  const of = ({ title, labels }, more) => axis(colours, { type: "category", name: title, data: labels, splitLine: { show: false }, ...more });
  return {
    grid: { left: width < 480 ? 72 : 140, right: 12, top: 36, bottom: 44 },
    xAxis: of(x, { nameGap: 28 }),
    yAxis: of(y, { name: "", inverse: true, axisLabel: { color: colours["chart-axis"], width: width < 480 ? 64 : 130, overflow: "truncate" } }),
    visualMap: { min: z.low, max: z.high, calculable: false, orient: "horizontal", left: "right", top: 0, itemHeight: 90, itemWidth: 10, precision: 2, text: [written(z.high), `${z.title}  ${written(z.low)}`], textStyle: { color: colours["ink-muted"] }, inRange: { color: colours.ramp } },
    series: [{ type: "heatmap", data: cells, progressive: 0, emphasis: { itemStyle: { borderColor: colours.ink, borderWidth: 1 } } }],
  };
}

export const say = ({ x, y, z, cells }, i) => `${x.title} ${x.labels[cells[i][0]]}, ${y.labels[cells[i][1]]}: ${z.title} ${written(cells[i][2])}`;

export function rows({ x, y, cells }) {
  const values = new Map(cells.map(([column, row, value]) => [`${column} ${row}`, value]));
  return [[y.title, ...x.labels], ...y.labels.map((name, row) => [name, ...x.labels.map((_, column) => values.get(`${column} ${row}`))])];
}
