/** Cells coloured by a number: `{x: {title, labels}, y: {title, labels}, z: {title, low, high, beside}, cells: [[column, row, value, other], …]}`.
    Where `beside` is a title, cells have another number, which is said and not drawn. */

import { axis, written } from "./axes.js";

const LETTER = 6.4; // px, of a label

export function option({ x, y, z, cells }, colours, width) {
  const room = Math.max(64, Math.min(LETTER * Math.max(...y.labels.map(({ length }) => length)), 0.34 * width));
  const of = ({ title, labels }, more) => axis(colours, { type: "category", name: title, data: labels, splitLine: { show: false }, ...more });
  return {
    grid: { left: room + 10, right: 12, top: 36, bottom: 44 },
    xAxis: of(x, { nameGap: 28 }),
    yAxis: of(y, { name: "", inverse: true, axisLabel: { color: colours["chart-axis"], width: room, overflow: "truncate" } }),
    visualMap: { dimension: 2, min: z.low, max: z.high, calculable: false, orient: "horizontal", left: "right", top: 0, itemHeight: 90, itemWidth: 10, precision: 2, text: [written(z.high), `${z.title}  ${written(z.low)}`], textStyle: { color: colours["ink-muted"] }, inRange: { color: colours.ramp } },
    series: [{ type: "heatmap", data: cells, progressive: 0, emphasis: { itemStyle: { borderColor: colours.ink, borderWidth: 1 } } }],
  };
}

export function say({ x, y, z, cells }, i) {
  const [column, row, value, other] = cells[i];
  return `${x.title} ${x.labels[column]}, ${y.labels[row]}: ${z.title} ${written(value)}${z.beside ? `, ${z.beside} ${written(other)}` : ""}`;
}

export function rows({ x, y, cells }) {
  const values = new Map(cells.map(([column, row, value]) => [`${column} ${row}`, value]));
  return [[y.title, ...x.labels], ...y.labels.map((name, row) => [name, ...x.labels.map((_, column) => values.get(`${column} ${row}`))])];
}
