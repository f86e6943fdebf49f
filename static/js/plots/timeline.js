/** Who did what when: `{lanes, stages, names, bars: [[lane, start, end, stage, name], …], shares}`; times are seconds since the run began,
    lanes, stages and names are counted from 0; shares are of the time of all lanes. The wheel and two fingers zoom. */

import { duration, percent } from "../figures.js";
import { axis } from "./axes.js";

const LANE = 0.62; // of a lane's height is its bar
const LEAST = 1; // px

/** Waiting, merging, answering, at work, without result: each has its own lightness, too. */
const tints = ({ line, series, accent, bad }) => [line, series[3], series[0], accent, bad];

export function option({ lanes, bars, shares }, colours, width) {
  const tint = tints(colours);
  return {
    title: { text: sum(shares), left: 0, top: 0, textStyle: { color: colours["ink-muted"], fontSize: 12, fontWeight: 400, width, overflow: "break" } },
    grid: { left: width < 480 ? 72 : 140, right: 12, top: width < 480 ? 48 : 32, bottom: 44 },
    xAxis: axis(colours, { type: "value", name: "since the run began", nameGap: 28, min: "dataMin", max: "dataMax", axisLabel: { color: colours["chart-axis"], formatter: duration, hideOverlap: true } }),
    yAxis: axis(colours, { type: "category", data: lanes, inverse: true, axisLabel: { color: colours["chart-axis"], width: width < 480 ? 64 : 130, overflow: "truncate" } }),
    dataZoom: [{ type: "inside", filterMode: "weakFilter" }],
    series: [{
      type: "custom",
      dimensions: ["lane", "start", "end", "stage", "name"],
      encode: { x: [1, 2], y: 0 },
      data: bars,
      renderItem: (_, api) => bar(api, tint),
    }],
  };
}

function bar(api, tint) {
  const [from, to] = [api.coord([api.value(1), api.value(0)]), api.coord([api.value(2), api.value(0)])];
  const height = LANE * api.size([0, 1])[1];
  const shape = { x: from[0], y: from[1] - height / 2, width: Math.max(LEAST, to[0] - from[0]), height };
  return { type: "rect", shape, style: { fill: tint[api.value(3)] }, emphasis: { style: { opacity: 0.7 } } };
}

export function say({ lanes, stages, names, bars }, i) {
  const [lane, start, end, stage, name] = bars[i];
  return `${names[name]}: ${stages[stage]}, ${duration(end - start)}, from ${duration(start)} on (${lanes[lane]})`;
}

export const rows = ({ lanes, stages, names, bars }) => [
  ["Worker", "Candidate", "Stage", "Begins after", "Takes"],
  ...bars.toReversed().map(([lane, start, end, stage, name]) => [lanes[lane], names[name], stages[stage], duration(start), duration(end - start)]),
];

const sum = (shares) => Object.entries(shares).map(([stage, share]) => `${stage} ${percent(share, 0)}`).join(", ");
