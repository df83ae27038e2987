// What the report can do besides being read: values read off plots, tables sorted and searched, pictures
// enlarged. Everything is there without it. Texts go in as text, never as html.
(() => {
"use strict";
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const make = (tag, attributes = {}, ...children) => {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
};
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
let serial = 0;

// Plots: uPlot draws what the drawing beside it shows as well, which screen readers and printers get.
const COLOURS = {chosen: "--accent", tied: "--accent", behind: "--muted", rule: "--muted", band: "--muted"};
const valueOf = (data, index) => data.series.map(each => each.values[index]).findLast(each => each != null);
const colour = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function seriesOf({label, tone, drawn}) {
  const points = drawn === "points" || drawn === "diamond", isDiamond = drawn === "diamond";
  return {
    label,
    stroke: () => colour(COLOURS[tone]),
    width: points ? 0 : tone === "chosen" ? 2 : 1,
    dash: tone === "rule" ? [4, 4] : undefined,
    paths: points ? () => null : undefined,
    points: {show: points && !isDiamond, size: 10, fill: () => colour(tone === "behind" ? "--page" : "--accent")},
  };
}

// Names as far as there is room beside the marks, the chosen one's first; zooming in makes room.
function writeNames(u, data, shown) {
  const {ctx, bbox} = u, ratio = devicePixelRatio;
  const at = index => [u.valToPos(data.x[index], "x", true), u.valToPos(valueOf(data, index), "y", true)];
  const boxOf = (x, y, width, height) => ({left: x, top: y, right: x + width, bottom: y + height});
  const meet = (one, other) => one.left < other.right && other.left < one.right && one.top < other.bottom && other.top < one.bottom;
  const isChosen = index => data.series.some(each => each.drawn === "diamond" && each.values[index] != null);
  const taken = shown.map(at).map(([x, y]) => boxOf(x - 5 * ratio, y - 5 * ratio, 10 * ratio, 10 * ratio));
  ctx.font = `${12 * ratio}px system-ui, sans-serif`;
  ctx.textAlign = "left";
  ctx.textBaseline = "top";
  ctx.fillStyle = colour("--ink");
  for (const index of [...shown].sort((one, other) => isChosen(other) - isChosen(one))) {
    const [x, y] = at(index), width = ctx.measureText(data.names[index]).width;
    const place = [y - 18 * ratio, y + 4 * ratio]
      .flatMap(top => [x + 10 * ratio, x - 10 * ratio - width].map(left => boxOf(left, top, width, 14 * ratio)))
      .find(box => box.left >= bbox.left && box.right <= bbox.left + bbox.width && !taken.some(each => meet(each, box)));
    if (!place) continue;
    taken.push(place);
    ctx.fillText(data.names[index], place.left, place.top);
  }
}

// Intervals upright, diamonds, names.
function annotate(data) {
  return u => {
    const {ctx, scales: {x: {min, max}}} = u, ratio = devicePixelRatio;
    const shown = data.x.map((value, index) => index).filter(index => data.x[index] >= min && data.x[index] <= max);
    ctx.save();
    ctx.beginPath();
    ctx.rect(u.bbox.left, u.bbox.top, u.bbox.width, u.bbox.height);
    ctx.clip();
    for (const index of data.low ? shown : []) {
      const x = u.valToPos(data.x[index], "x", true);
      ctx.beginPath();
      ctx.moveTo(x, u.valToPos(data.low[index], "y", true));
      ctx.lineTo(x, u.valToPos(data.high[index], "y", true));
      ctx.strokeStyle = colour("--muted");
      ctx.lineWidth = ratio;
      ctx.stroke();
    }
    for (const {values} of data.series.filter(each => each.drawn === "diamond")) {
      for (const index of shown.filter(each => values[each] != null)) {
        const [x, y, reach] = [u.valToPos(data.x[index], "x", true), u.valToPos(values[index], "y", true), 8 * ratio];
        ctx.fillStyle = colour("--accent");
        ctx.fill(new Path2D(`M${x} ${y - reach}L${x + reach} ${y}L${x} ${y + reach}L${x - reach} ${y}Z`));
      }
    }
    if (data.names) writeNames(u, data, shown);
    ctx.restore();
  };
}

// What uPlot asks for first is the data's own range; what it asks for later was dragged.
const zoomed = (data, low, high) =>
  low === data.x[0] && high === data.x.at(-1) ? data.range : [low, high];

function drawPlot(figure) {
  const data = JSON.parse(figure.dataset.plot), last = data.x.length - 1;
  const box = make("div", {class: "live", "aria-hidden": "true"});
  const id = `reader-${++serial}`;
  const reader = make("input", {type: "range", id, min: 0, max: last, value: data.chosen ?? 0});
  const words = make("output", {for: id, class: "reading"});
  figure.querySelector(".scroll").classList.add("still");
  figure.prepend(box, make("div", {class: "reader"}, make("label", {for: id}, figure.dataset.reader), reader, words));
  const show = index => {
    reader.value = index;
    words.textContent = data.words[index];
    reader.setAttribute("aria-valuetext", data.words[index]);
  };
  const axis = {stroke: () => colour("--muted"), grid: {stroke: () => colour("--line"), width: 1}, ticks: {show: false}};
  const size = () => ({width: box.clientWidth, height: Math.min(420, Math.max(260, box.clientWidth * .6))});
  const heights = data.series.flatMap(each => each.values).concat(data.low ?? [], data.high ?? []).filter(each => each != null);
  const plot = new uPlot({
    ...size(),
    legend: {show: false},
    cursor: {drag: {x: true, y: false}, y: false, points: {size: 14}},
    scales: {
      x: {time: false, distr: data.ticks ? 3 : 1, range: (u, low, high) => zoomed(data, low, high)},
      y: {range: () => [Math.min(...heights) - .5, Math.max(...heights) + .5]},
    },
    axes: [{...axis, label: data.xTitle, labelSize: 20, ...(data.ticks && {splits: () => data.ticks, values: (u, ticks) => ticks, filter: (u, ticks) => ticks})}, {...axis, size: 56, values: (u, ticks) => ticks.map(tick => `${tick} %`)}],
    series: [{}, ...data.series.map(seriesOf)],
    bands: data.series[0]?.tone === "band" ? [{series: [1, 2], fill: () => colour("--accent-soft")}] : [],
    hooks: {
      draw: [annotate(data)],
      setCursor: [u => { if (u.cursor.idx != null && u.cursor.left >= 0) show(u.cursor.idx); }],
    },
  }, [data.x, ...data.series.map(each => each.values)], box);
  reader.addEventListener("input", () => {
    const index = Number(reader.value);
    plot.setCursor({left: plot.valToPos(data.x[index], "x"), top: plot.valToPos(valueOf(data, index), "y")}, false);
    show(index);
  });
  show(Number(reader.value));
  new ResizeObserver(() => { if (box.clientWidth) plot.setSize(size()); }).observe(box);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => plot.redraw());
}

// Numbers by their value, names as people count: "class 9" before "class 10".
function inOrder(one, other) {
  const [first, second] = [one, other].map(text => text === "" ? NaN : Number(text.replaceAll(",", "")));
  return Number.isNaN(first - second) ? one.localeCompare(other, "en", {numeric: true}) : first - second;
}

// Tables of classes: sorted by a column, searched by name.
function sortable(table) {
  const body = table.tBodies[0], rows = [...body.rows];
  const key = (row, column) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
  all("thead th", table).forEach((head, column) => {
    const button = make("button", {type: "button", class: "sort"}, ...head.childNodes);
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      all("th", table.tHead).forEach(each => each.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      rows.sort((one, other) => inOrder(key(one, column), key(other, column)) * (down ? -1 : 1));
      body.append(...rows);
    });
  });
  const id = `search-${++serial}`;
  const search = make("input", {type: "search", id, autocomplete: "off"});
  const found = make("output", {for: id});
  search.addEventListener("input", () => {
    const wanted = search.value.trim().toLowerCase();
    rows.forEach(row => { row.hidden = !row.cells[0].textContent.toLowerCase().includes(wanted); });
    found.textContent = wanted ? `${rows.filter(row => !row.hidden).length} of ${rows.length}` : "";
  });
  table.closest(".scroll").before(make("p", {class: "tools"}, make("label", {for: id}, "Find a class "), search, " ", found));
}

// Big confusion matrices: a class is looked up by name or pointed at, and the picture zooms in on it.
function matrix(figure) {
  const {names, totals, cells, block} = JSON.parse(figure.dataset.matrix);
  const picture = figure.querySelector("svg"), whole = picture.getAttribute("viewBox");
  const rule = document.createElementNS("http://www.w3.org/2000/svg", "path");
  rule.setAttribute("class", "crosshair");
  picture.append(rule);
  const id = `matrix-${++serial}`;
  const list = make("datalist", {id: `${id}-names`}, ...names.map(name => make("option", {value: name})));
  const search = make("input", {type: "search", id, list: list.id, autocomplete: "off"});
  const zoom = make("button", {type: "button", "aria-pressed": "false"}, "Zoom in");
  const said = make("output", {for: id, class: "reading"}, "Point at the picture, or look a class up.");
  const share = (number, true_) => `${number} of ${totals[true_]}`;
  let at = [0, 0];
  const frame = () => {
    const size = names.length / block, side = Math.min(size, 24);
    const start = place => clamp(place / block - side / 2, 0, size - side) - .5;
    picture.setAttribute("viewBox", zoom.ariaPressed === "true" ? `${start(at[1])} ${start(at[0])} ${side + 1} ${side + 1}` : whole);
  };
  const point = (true_, predicted) => {
    at = [true_, predicted];
    const [x, y] = [predicted / block | 0, true_ / block | 0];
    rule.setAttribute("d", `M-.5 ${y}H${names.length}M-.5 ${y + 1}H${names.length}M${x} -.5V${names.length}M${x + 1} -.5V${names.length}`);
  };
  const tell = true_ => {
    const of = cells.filter(([one]) => one === true_), right = of.find(([, other]) => other === true_)?.[2] ?? 0;
    const wrong = of.filter(([, other]) => other !== true_).sort((a, b) => b[2] - a[2]).slice(0, 5);
    const taken = wrong.map(([, other, number]) => `${names[other]} (${number})`).join(", ");
    said.textContent = `${names[true_]}: ${share(right, true_)} found${taken ? `; taken for ${taken}` : ""}.`;
    point(true_, true_);
    frame();
  };
  search.addEventListener("input", () => {
    const index = names.indexOf(search.value);
    if (index >= 0) tell(index);
  });
  zoom.addEventListener("click", () => {
    zoom.setAttribute("aria-pressed", zoom.ariaPressed !== "true");
    frame();
  });
  picture.addEventListener("pointermove", event => {
    const spot = new DOMPoint(event.clientX, event.clientY).matrixTransform(picture.getScreenCTM().inverse());
    const within = (value, index) => Math.floor(index / block) === Math.floor(value);
    const here = cells.filter(([one, other]) => within(spot.y, one) && within(spot.x, other)).sort((a, b) => b[2] - a[2])[0];
    const [true_, predicted] = here ?? [spot.y, spot.x].map(value => clamp(Math.floor(value) * block, 0, names.length - 1));
    point(true_, predicted);
    const number = here?.[2] ?? 0;
    said.textContent = true_ === predicted
      ? `${names[true_]}: ${share(number, true_)} found.`
      : `${names[true_]} taken for ${names[predicted]}: ${share(number, true_)}.`;
  });
  figure.before(make("div", {class: "tools"}, make("label", {for: id}, "Look a class up "), search, list, " ", zoom, said));
}

// Pictures: enlarged in a dialog, with the arrow keys from one to the next.
function enlargeable(pictures) {
  const stage = make("div", {class: "stage"}), caption = make("div", {class: "caption"});
  const button = (text, label) => make("button", {type: "button", "aria-label": label}, text);
  const [back, on, close] = [button("‹", "The picture before"), button("›", "The next picture"), button("×", "Close")];
  const dialog = make("dialog", {"aria-label": "Picture, enlarged"}, make("div", {class: "bar"}, back, on, close), stage, caption);
  let current = 0;
  const show = index => {
    current = (index + pictures.length) % pictures.length;
    const figure = pictures[current].closest("figure");
    stage.replaceChildren(...all("img", figure).map(each => each.cloneNode()));
    caption.replaceChildren(...(figure.querySelector("figcaption")?.cloneNode(true).childNodes ?? []));
  };
  pictures.forEach((picture, index) => {
    const opener = make("button", {type: "button", class: "enlarge", title: "Enlarge"});
    picture.replaceWith(opener);
    opener.append(picture);
    opener.addEventListener("click", () => { show(index); dialog.showModal(); });
  });
  back.addEventListener("click", () => show(current - 1));
  on.addEventListener("click", () => show(current + 1));
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("keydown", event => {
    if (event.key === "ArrowLeft") show(current - 1);
    if (event.key === "ArrowRight") show(current + 1);
  });
  dialog.addEventListener("click", event => { if (event.target === dialog) dialog.close(); });
  document.body.append(dialog);
}

all("figure[data-plot]").forEach(drawPlot);
all("table.sortable").forEach(sortable);
all("figure[data-matrix]").forEach(matrix);
const pictures = all("img.picture");
if (pictures.length) enlargeable(pictures);
})();
