/** Numbers as bars with their intervals, the largest first; hollow where the interval reaches zero:
    `{value, items: [{name, value, low, high, is_clear}], n_shown, note}`. */

import { axis, written } from "./axes.js";

export function option({ value, items, n_shown: n }, colours, width) {
  const narrow = width < 560;
  const shown = items.slice(0, narrow ? n / 2 : n);
  const room = narrow ? 112 : 260;
  return {
    grid: { left: room + 12, right: 20, top: 4, bottom: 40 },
    xAxis: axis(colours, { type: "value", name: value, nameGap: 26 }),
    yAxis: axis(colours, { type: "category", data: shown.map(({ name }) => (narrow ? name.replace(" / ", "\n") : name)), inverse: true, axisLabel: { color: colours.ink, fontSize: narrow ? 10 : 12, lineHeight: 12, width: room, overflow: "truncate", interval: 0 } }),
    series: [
      {
        type: "bar",
        barMaxWidth: 14,
        data: shown.map(({ value: length, is_clear: clear }) => ({
          value: length,
          itemStyle: { color: clear ? colours.accent : colours.surface, borderColor: clear ? colours.accent : colours["line-strong"], borderWidth: 1 },
        })),
      },
      { type: "custom", silent: true, z: 3, encode: { x: [0, 1], y: 2 }, data: shown.map(({ low, high }, i) => [low, high, i]), renderItem: (_, api) => whisker(api, colours.ink) },
    ],
  };
}

function whisker(api, stroke) {
  const [x1, y] = api.coord([api.value(0), api.value(2)]);
  const [x2] = api.coord([api.value(1), api.value(2)]);
  return { type: "path", shape: { pathData: `M${x1} ${y - 3}V${y + 3}M${x1} ${y}H${x2}M${x2} ${y - 3}V${y + 3}` }, style: { stroke, fill: "none", lineWidth: 1.25 } };
}

export const say = ({ value, items }, i) => {
  const { name, value: length, low, high, is_clear: clear } = items[i];
  return `${name}\n${value} ${written(length)} [${written(low)}, ${written(high)}]${clear ? "" : ", which may be luck"}`;
};

export const rows = ({ value, items }) => [["gene", value, "from", "to", ""], ...items.map(({ name, value: length, low, high, is_clear: clear }) => [name, length, low, high, clear ? "" : "may be luck"])];
