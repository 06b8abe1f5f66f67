"use strict";
/* What the report in one file and the live page share: pictures of an answer. Both say what `show` does. */
const data = JSON.parse(document.getElementById("data").textContent);
const groups = data.names.length;

/* Words and numbers. */
const digits = (value, count = 4) =>
  Number.isFinite(value) ? Number(value.toPrecision(count)).toString().replace("-", "−") : "–";
const percent = (value) => `${(100 * value).toFixed(2)}%`.replace("-", "−");
function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in made) made[key] = value; else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}
function drawn(name, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

/* Pictures. Lines differ by dashes and marks, bars by their filling, so that they survive grey print. */
const DASHES = ["", "7 3", "2 3", "9 3 2 3", "4 4", "12 4", "1 4", "9 3 2 3 2 3"];
const BOX = { width: 420, height: 270, left: 58, right: 12, top: 8, bottom: 42 };
function ticks(low, high) {
  const rough = (high - low) / 5, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 2.5, 5, 10].find((m) => m * power >= rough * 0.999);
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k += 1) found.push(k * step);
  return found;
}
function reach(values) {
  const real = values.filter(Number.isFinite);
  let [low, high] = [Math.min(...real), Math.max(...real)];
  if (!(high > low)) [low, high] = [low - 0.5 - Math.abs(low) / 2, high + 0.5 + Math.abs(high) / 2];
  const room = 0.04 * (high - low);
  return [low - room, high + room];
}
function axes(label, xs, ys, names) {
  const svg = drawn("svg", { viewBox: `0 0 ${BOX.width} ${BOX.height}`, role: "img", "aria-label": label });
  const [x0, x1] = reach(xs), [y0, y1] = reach(ys);
  const inner = [BOX.width - BOX.left - BOX.right, BOX.height - BOX.top - BOX.bottom];
  const x = (value) => BOX.left + (inner[0] * (value - x0)) / (x1 - x0);
  const y = (value) => BOX.top + inner[1] * (1 - (value - y0) / (y1 - y0));
  const axis = drawn("g", { class: "axis" }), bottom = BOX.height - BOX.bottom;
  for (const value of ticks(x0, x1)) {
    axis.append(drawn("line", { x1: x(value), x2: x(value), y1: BOX.top, y2: bottom }));
    axis.append(drawn("text", { x: x(value), y: bottom + 14, "text-anchor": "middle" }, digits(value, 6)));
  }
  for (const value of ticks(y0, y1)) {
    axis.append(drawn("line", { x1: BOX.left, x2: BOX.width - BOX.right, y1: y(value), y2: y(value) }));
    axis.append(drawn("text", { x: BOX.left - 5, y: y(value) + 4, "text-anchor": "end" }, digits(value, 6)));
  }
  const middle = BOX.top + inner[1] / 2;
  axis.append(drawn("text", { x: BOX.left + inner[0] / 2, y: BOX.height - 8, "text-anchor": "middle" }, names[0]));
  const turned = { x: 13, y: middle, "text-anchor": "middle", transform: `rotate(-90 13 ${middle})` };
  axis.append(drawn("text", turned, names[1]));
  svg.append(axis);
  if (y0 < 0 && y1 > 0) {
    svg.append(drawn("line", { class: "zero", x1: BOX.left, x2: BOX.width - BOX.right, y1: y(0), y2: y(0) }));
  }
  return { svg, x, y, back: (place) => y0 + (1 - (place - BOX.top) / inner[1]) * (y1 - y0) };
}
const stroke = (k) => ({
  fill: "none", stroke: `var(--c${k % 8})`, "stroke-width": 2.2, "stroke-dasharray": DASHES[k % 8],
});
const SHAPES = { circle: "M-5 0a5 5 0 1 0 10 0a5 5 0 1 0 -10 0", square: "M-4.5 -4.5h9v9h-9z", diamond: "M0 -6l6 6l-6 6l-6 -6z" };
const mark = (shape, k, x, y) =>
  drawn("path", { d: SHAPES[shape], transform: `translate(${x} ${y})`, fill: `var(--c${k % 8})`, stroke: "var(--paper)" });
function legend(entries) {
  return element("ul", { className: "legend" }, ...entries.map(({ name, k, shape, outlined }) => {
    const sample = drawn("svg", { viewBox: "0 0 36 12", "aria-hidden": "true" });
    if (shape === "bar") sample.append(drawn("rect", { x: 4, y: 1, width: 28, height: 10, ...filling(k, outlined) }));
    else if (shape) sample.append(mark(shape, k, 18, 6));
    else sample.append(drawn("line", { x1: 0, x2: 36, y1: 6, y2: 6, ...stroke(k) }));
    return element("li", {}, sample, name);
  }));
}
function lines(label, names, curves, { marks = [], bands = [], cap } = {}) {
  const points = [...curves.flatMap((curve) => curve.points), ...marks.map(({ x, y }) => [x, y])];
  const heights = points.map((point) => point[1]);
  const frame = axes(label, points.map((point) => point[0]), cap ? [...heights, cap.value] : heights, names);
  for (const [low, high] of bands) {
    const at = { x: frame.x(low), width: Math.max(0, frame.x(high) - frame.x(low)) };
    frame.svg.append(drawn("rect", { class: "band", y: BOX.top, height: BOX.height - BOX.top - BOX.bottom, ...at }));
  }
  curves.forEach((curve, k) => {
    const path = curve.points.filter((point) => point.every(Number.isFinite));
    const d = path.map(([x, y], n) => `${n ? "L" : "M"}${frame.x(x).toFixed(2)} ${frame.y(y).toFixed(2)}`).join("");
    frame.svg.append(drawn("path", { d, ...stroke(curve.k ?? k) }));
  });
  for (const { shape, k, x, y } of marks) frame.svg.append(mark(shape, k, frame.x(x), frame.y(y)));
  if (cap) {
    const at = frame.y(cap.value);
    const line = drawn("line", { class: "cap", x1: BOX.left, x2: BOX.width - BOX.right, y1: at, y2: at });
    line.addEventListener("pointerdown", () => {
      const move = (event) => {
        const box = frame.svg.getBoundingClientRect();
        cap.moved(frame.back(((event.clientY - box.top) * BOX.height) / box.height));
      };
      window.addEventListener("pointermove", move);
      window.addEventListener("pointerup", () => window.removeEventListener("pointermove", move), { once: true });
    });
    frame.svg.append(line);
  }
  const named = [...curves.map((curve, k) => ({ name: curve.name, k: curve.k ?? k })), ...marks];
  return [frame.svg, legend(named.filter(({ name }) => name))];
}
const filling = (k, outlined) => ({
  fill: `var(--c${k})`, "fill-opacity": outlined ? 0.15 : 1, stroke: `var(--c${k})`, "stroke-width": 1.5,
});
function bars(label, unit, rows, series) {
  const each = 12 * series.length + 10, height = rows.length * each + 40, left = 150;
  const svg = drawn("svg", { viewBox: `0 0 ${BOX.width} ${height}`, role: "img", "aria-label": label });
  const [low, high] = reach([0, ...series.flatMap((one) => one.values)]);
  const x = (value) => left + ((BOX.width - left - BOX.right) * (value - low)) / (high - low);
  const axis = drawn("g", { class: "axis" });
  for (const value of ticks(low, high).filter((_, k, all) => all.length < 5 || k % 2 === 0)) {
    axis.append(drawn("line", { x1: x(value), x2: x(value), y1: 0, y2: height - 36 }));
    axis.append(drawn("text", { x: x(value), y: height - 24, "text-anchor": "middle" }, digits(value, 6)));
  }
  axis.append(drawn("text", { x: (left + BOX.width) / 2, y: height - 6, "text-anchor": "middle" }, unit));
  rows.forEach((name, row) => {
    const short = name.length > 24 ? `${name.slice(0, 23)}…` : name;
    axis.append(drawn("text", { x: left - 6, y: row * each + each / 2 + 4, "text-anchor": "end" }, short));
    series.forEach((one, place) => {
      const value = one.values[row];
      if (!Number.isFinite(value)) return;
      const at = { x: Math.min(x(0), x(value)), width: Math.abs(x(value) - x(0)), y: row * each + 5 + 12 * place };
      svg.append(drawn("rect", { ...at, height: 10, ...filling(one.k, one.outlined) }));
    });
  });
  svg.prepend(axis);
  svg.append(drawn("line", { class: "zero", x1: x(0), x2: x(0), y1: 0, y2: height - 36 }));
  return [svg, legend(series.map(({ name, k, outlined }) => ({ name, k, outlined, shape: "bar" })))];
}

/* A picture as a file: colours and fonts are written into a copy, which stands without the page's style. */
const STYLED = ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "font-size", "font-family", "opacity"];
function standing(svg) {
  const copy = svg.cloneNode(true), [width, height] = svg.getAttribute("viewBox").split(" ").slice(2);
  const made = [...copy.querySelectorAll("*")];
  [...svg.querySelectorAll("*")].forEach((one, k) => {
    const style = getComputedStyle(one);
    for (const name of STYLED) made[k].style.setProperty(name, style.getPropertyValue(name));
  });
  const paper = getComputedStyle(document.body).backgroundColor;
  copy.prepend(drawn("rect", { width, height, fill: paper }));
  for (const [name, value] of Object.entries({ xmlns: "http://www.w3.org/2000/svg", width, height })) copy.setAttribute(name, value);
  return new XMLSerializer().serializeToString(copy);
}
async function pixels(text) {
  const picture = new Image();
  picture.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
  await picture.decode();
  const canvas = element("canvas", { width: 3 * picture.width, height: 3 * picture.height });
  canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
  return canvas.toDataURL("image/png");
}
function saver(kind, title, svg) {
  const made = element("button", { type: "button", textContent: kind.toUpperCase() });
  made.addEventListener("click", async () => {
    const text = standing(svg());
    const href = kind === "svg" ? `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}` : await pixels(text);
    element("a", { href, download: `${title.replace(/\W+/g, "_").toLowerCase()}.${kind}` }).click();
  });
  return made;
}

/* A figure: title, choices, picture, sentence, table. */
const figures = [];
function figure(title, make, ...choices) {
  const picture = element("div"), sentence = element("figcaption", { "aria-live": "polite" });
  const body = element("table"), holder = element("details", {}, element("summary", { textContent: "Table, and the picture as a file" }),
    ...["svg", "png"].map((kind) => saver(kind, title, () => picture.querySelector("svg"))),
    element("div", { className: "scroll" }, body));
  const box = element("figure", {}, element("h2", { textContent: title }), ...choices, picture, sentence, holder);
  document.getElementById("figures").append(box);
  const draw = (found, words) => {
    const made = found.refusal
      ? { picture: [element("p", { textContent: found.refusal })], sentence: "", head: [], rows: [] } : make(found);
    box.hidden = made === null;
    if (made === null) return;
    picture.replaceChildren(...made.picture);
    if (!words) return;
    sentence.textContent = made.sentence;
    const cell = (kind) => (text) => element(kind, { textContent: typeof text === "number" ? digits(text, 6) : text });
    body.replaceChildren(element("thead", {}, element("tr", {}, ...made.head.map(cell("th")))),
      element("tbody", {}, ...made.rows.map((row) => element("tr", {}, ...row.map(cell("td"))))));
  };
  figures.push(draw);
}
function choice(label, options, changed) {
  const select = element("select", { "aria-label": label }, ...options.map((text, k) =>
    element("option", { value: String(k), textContent: text })));
  select.addEventListener("change", () => { changed(Number(select.value)); show(); });
  return select;
}
const column = (values, k, start = 0, count = values.length / groups) =>
  Array.from({ length: count }, (_, n) => values[(start + n) * groups + k]);

figure("Revenue against efficiency", (found) => {
  const best = found.first_best_efficiency[0], surplus = found.first_best_surplus[0];
  const shares = ({ revenue, efficiency }) => [(100 * (best - efficiency)) / surplus, (100 * revenue) / surplus];
  if (!found.frontier) return null;
  const points = found.frontier.map(shares);
  const [lost, earned] = shares(found);
  const marks = [{ name: `α = ${digits(found.alpha)}`, shape: "circle", k: 1, x: lost, y: earned },
    { name: "where the budget binds, w*", shape: "diamond", k: 2, x: points[0][0], y: points[0][1] }];
  const auction = { revenue: found.still.auction_revenue?.[0], efficiency: found.still.auction_efficiency?.[0] };
  if (Number.isFinite(auction.revenue)) {
    const [x, y] = shares(auction);
    marks.push({ name: "double auction with fees", shape: "square", k: 3, x, y });
  }
  const names = ["efficiency lost, % of first-best gains from trade", "revenue, % of the same"];
  return {
    picture: lines("Frontier of revenue and efficiency", names, [{ name: "frontier", points }], { marks }),
    sentence: `At α = ${digits(found.alpha)} revenue is ${digits(found.revenue, 5)} money, ${digits(earned)}% of the ` +
      `first-best gains from trade, of which ${digits(lost)}% are lost; the budget binds below α = ${digits(found.least)}.`,
    head: ["weight w", ...names], rows: found.frontier.map(({ weight }, k) => [weight, ...points[k]]),
  };
});

figure("Who pays, and who gains", (found) => {
  const pays = Array.from(found.revenue_by_group), gains = Array.from(found.gain_by_group), idle = Array.from(found.idle);
  const most = pays.indexOf(Math.max(...pays)), still = idle.indexOf(Math.max(...idle));
  const series = [{ name: "pays", values: pays, k: 0 }, { name: "gains", values: gains, k: 1, outlined: true }];
  return {
    picture: bars("Payments and gains by group", "money, all traders of the group", data.names, series),
    sentence: `${data.names[most]} pays most, ${digits(pays[most])} money; of ${data.names[still]} ` +
      `${percent(1 - idle[still])} of all types expect to trade more than elsewhere.`,
    head: ["group", "pays, money", "gains, money", "types who expect to trade", "fee, money", "spread, money/unit"],
    rows: data.names.map((name, k) => [name, pays[k], gains[k], percent(1 - idle[k]), found.fee[k], found.spread[k]]),
  };
});

const group = { allocation: 0, payments: 0, density: 0 };
const shown = { price: 1, marginal: false, cap: null };
figure("What each type expects to buy", (found) => {
  const k = group.allocation, type = column(found.type, k), bought = column(found.bought, k), gain = column(found.gain, k);
  const [low, high] = [found.lower[k], found.upper[k]];
  return {
    picture: lines("Expected purchase by endowment", ["endowment, asset units", "expected purchase, asset units"],
      [{ name: data.names[k], points: type.map((z, n) => [z, bought[n]]) }], { bands: [[low, high]] }),
    sentence: `${data.names[k]}: types from ${digits(low)} to ${digits(high)} (shaded) gain no more here than elsewhere; ` +
      `the largest gain is ${digits(Math.max(...gain))} money.`,
    head: ["endowment, asset", "expected purchase, asset", "gain, money"], rows: type.map((z, n) => [z, bought[n], gain[n]]),
  };
}, choice("Group", data.names, (k) => { group.allocation = k; }));

figure("What a trader pays beside the price", (found) => {
  const k = group.payments, count = found.type.length / groups, values = shown.marginal ? found.marginal : found.paid;
  const curves = [0, 1, 2].map((price) => ({
    name: `at price ${digits(found.price[price])}`,
    points: column(found.size, k, price * count, count).map((q, n) => [q, values[(price * count + n) * groups + k]]),
  }));
  const unit = shown.marginal ? "marginal side payment, money/unit" : "side payment, money";
  const middle = curves[1].points, heights = middle.map((point) => point[1]);
  const cap = shown.cap ?? 0.5 * (Math.max(...heights) + Math.min(...heights));
  const moved = (value) => { shown.cap = value; show(); };
  const crossed = middle.slice(1).flatMap(([x, y], n) => {
    const [x0, y0] = middle[n];
    return (y0 > cap) !== (y > cap) ? [digits(x0 + ((x - x0) * (cap - y0)) / (y - y0), 3)] : [];
  });
  const said = crossed.length ? `the cap of ${digits(cap)} is passed at sizes ${crossed.join(" and ")}`
    : `the cap of ${digits(cap)} is not passed`;
  return {
    picture: lines(unit, ["quantity bought, asset units", unit], curves, { cap: { value: cap, moved } }),
    sentence: `${data.names[k]}, participation fee ${digits(found.fee[k])} money, bid–ask spread ` +
      `${digits(found.spread[k])} money/unit. At the middle price ${said}.`,
    head: ["size at the middle price", ...curves.map((curve) => curve.name)],
    rows: middle.map(([q], n) => [q, ...curves.map((curve) => curve.points[n][1])]),
  };
}, choice("Group", data.names, (k) => { group.payments = k; shown.cap = null; }),
choice("What", ["payment", "marginal payment"], (k) => { shown.marginal = k === 1; shown.cap = null; }),
...[["lower the cap", -1], ["raise the cap", 1]].map(([label, way]) => {
  const button = element("button", { type: "button", textContent: way < 0 ? "cap −" : "cap +", "aria-label": label });
  button.addEventListener("click", () => {
    const values = latest.refusal ? [0, 1] : Array.from(shown.marginal ? latest.marginal : latest.paid);
    const [low, high] = [Math.min(...values), Math.max(...values)];
    shown.cap = (shown.cap ?? 0.5 * (low + high)) + 0.05 * way * (high - low);
    show();
  });
  return button;
}));

figure("Endowments", (found) => {
  const k = group.density, place = column(found.still.endowment, k), density = column(found.still.density, k);
  const most = place[density.indexOf(Math.max(...density))];
  return {
    picture: lines("Density of endowments", ["endowment, asset units", "density, per asset unit"],
      [{ name: data.names[k], points: place.map((z, n) => [z, density[n]]) }]),
    sentence: `${data.names[k]}: endowments from ${digits(place[0])} to ${digits(place[place.length - 1])}, most often ` +
      `near ${digits(most)}.`,
    head: ["endowment, asset", "density"], rows: place.map((z, n) => [z, density[n]]),
  };
}, choice("Group", data.names, (k) => { group.density = k; }));

figure(`What moves it most${data.fixed}`, (found) => {
  const bar = found.series.sensitivity;
  return bar ? {
    picture: bars("Change by 1% of each number", `change of ${bar.outcome}, money`, bar.parameter,
      [{ name: "1% up", values: bar.up, k: 0 }, { name: "1% down", values: bar.down, k: 1, outlined: true }]),
    sentence: found.sentences.sensitivity ?? "Nothing moves it.",
    head: ["parameter", "1% up, money", "1% down, money"],
    rows: bar.parameter.map((name, k) => [name, bar.up[k] ?? NaN, bar.down[k] ?? NaN]),
  } : null;
});
figure(`Revenue against the outside market's cost${data.fixed}`, (found) => {
  const along = found.series.outside_cost, points = along?.factor.map((x, k) => [x, along.revenue[k] ?? NaN]);
  return along ? {
    picture: lines("Revenue by cost", ["cost of the outside market, times what it is", "revenue, money"],
      [{ name: "revenue", points }]),
    sentence: found.sentences.outside_cost ?? "", head: ["factor", "revenue, money"], rows: points,
  } : null;
});

/* A slider with its number, which `read` tells and `write` takes. */
const sliders = [];
let latest = null;
function slider(place, label, unit, low, high, step, read, write) {
  const output = element("output"), input = element("input", { type: "range", min: low, max: high, step });
  const sync = () => { input.value = read(); output.textContent = `${digits(read(), 5)} ${unit}`; };
  input.addEventListener("input", () => { write(Math.min(high, Math.max(low, Number(input.value)))); show(); });
  place.append(element("label", {}, label, output, input));
  sliders.push(sync);
  return input;
}
