/* The report in one file: numbers interpolated here. */
const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer;
const table = new Float32Array(bytes(data.table)), flat = new Float32Array(bytes(data.flat));
const money = new Float64Array(bytes(data.money));
const nodes = data.weights, sizes = data.settings.map((setting) => setting.length);
const cells = sizes[0] * sizes[1];

/* What the report interpolates by: the same arithmetic as jaxmech.explorer.grid. */
function barycentric(places, x) {
  if (places.length === 1) return [1];
  const same = places.indexOf(x);
  if (same >= 0) return places.map((_, k) => Number(k === same));
  const last = places.length - 1;
  const share = places.map((place, k) => ((k % 2 ? -1 : 1) * (k === 0 || k === last ? 0.5 : 1)) / (x - place));
  const sum = share.reduce((a, b) => a + b, 0);
  return share.map((value) => value / sum);
}
function quintic(left, right, weight) {
  const width = right.weight - left.weight, t = (weight - left.weight) / width;
  const value = (end) => end.weight * end.revenue + (1 - end.weight) * end.efficiency;
  const slope = (end) => width * (end.revenue - end.efficiency);
  const most = 5 * Math.abs(slope(right) - slope(left));
  const bend = (end) => Math.min(width * width * end.curvature, most);
  const rise = value(right) - value(left) - slope(left) - 0.5 * bend(left);
  const steep = slope(right) - slope(left) - bend(left), bent = bend(right) - bend(left);
  const cubic = 10 * rise - 4 * steep + 0.5 * bent;
  const quartic = -15 * rise + 7 * steep - bent, fifth = 6 * rise - 3 * steep + 0.5 * bent;
  const at = value(left) + t * (slope(left) + t * (0.5 * bend(left) + t * (cubic + t * (quartic + t * fifth))));
  const rising = slope(left) + t * (bend(left) + t * (3 * cubic + t * (4 * quartic + 5 * t * fifth)));
  return [at, rising / width];
}
function moneyAt(weight, share) {
  let cell = 0;
  while (cell < nodes.length - 2 && nodes[cell + 1] <= weight) cell += 1;
  const end = (k, j) => {
    const [revenue, efficiency, curvature] = [0, 1, 2].map((row) => money[(row * nodes.length + k) * cells + j]);
    return { weight: nodes[k], revenue, efficiency, curvature };
  };
  let revenue = 0, efficiency = 0;
  for (let j = 0; j < cells; j += 1) {
    const [value, slope] = quintic(end(cell, j), end(cell + 1, j), weight);
    revenue += share[j] * (value + (1 - weight) * slope);
    efficiency += share[j] * (value - weight * slope);
  }
  return { revenue, efficiency };
}
function leastWeight(share) {
  if (moneyAt(0, share).revenue >= data.least) return 0;
  if (!(moneyAt(1, share).revenue >= data.least)) return NaN;
  let low = 0, high = 1;
  for (let k = 0; k < data.halvings; k += 1) {
    const middle = 0.5 * (low + high);
    if (moneyAt(middle, share).revenue >= data.least) high = middle; else low = middle;
  }
  return high;
}
function mixed(rows, shares, width) {
  const found = new Float64Array(width);
  shares.forEach((share, row) => {
    if (share !== 0) for (let k = 0; k < width; k += 1) found[k] += share * rows[row * width + k];
  });
  return found;
}
function unpacked(row, spec) {
  let start = 0;
  return Object.fromEntries(spec.map(([name, size]) => [name, row.subarray(start, (start += size))]));
}
const widthOf = (spec) => spec.reduce((sum, [, size]) => sum + size, 0);
function answer(alpha, numbers) {
  const places = data.knobs.map((knob, k) => (knob.logarithmic ? Math.log(numbers[k]) : numbers[k]));
  const along = data.settings.map((setting, k) => barycentric(setting, places[k] ?? 0));
  const share = along[0].flatMap((one) => along[1].map((other) => one * other));
  const still = unpacked(mixed(flat, share, widthOf(data.flatSpec)), data.flatSpec);
  const least = leastWeight(share);
  const fixed = { series: data.series, sentences: data.sentences, still, alpha };
  if (Number.isNaN(least)) {
    const refusal = `Infeasible: no mechanism that keeps every type earns ${digits(data.least)}; the largest revenue of ` +
      `any is ${digits(moneyAt(1, share).revenue, 6)} money.`;
    return { ...fixed, refusal };
  }
  const weight = Math.max(alpha, least), steps = barycentric(nodes, weight);
  const shares = steps.flatMap((step) => share.map((one) => step * one));
  const found = unpacked(mixed(table, shares, widthOf(data.spec)), data.spec);
  const path = Array.from({ length: 61 }, (_, k) => least + ((1 - least) * k) / 60);
  const frontier = path.map((one) => ({ weight: one, ...moneyAt(one, share) }));
  return { ...found, ...fixed, frontier, weight, least, ...moneyAt(weight, share) };
}

/* Controls. */
const start = { alpha: data.alpha, numbers: data.knobs.map((knob) => knob.value) };
const state = { alpha: start.alpha, numbers: [...start.numbers] };
let waiting = null;
const controls = document.getElementById("controls");
slider(controls, "α, weight on revenue", "", 0, 1, 0.005, () => state.alpha, (value) => { state.alpha = value; });
data.knobs.forEach((knob, k) => slider(controls, knob.name, knob.unit, knob.low, knob.high, knob.whole ? 1 : (knob.high - knob.low) / 400,
  () => state.numbers[k], (value) => { state.numbers[k] = value; }));
const reset = element("button", { type: "button", textContent: "Reset" });
reset.addEventListener("click", () => { state.alpha = start.alpha; state.numbers = [...start.numbers]; show(); });
const link = element("a", { textContent: "Link to this", href: "#" });
controls.append(element("p", { className: "quiet" }, reset, " ", link));

function show() {
  latest = answer(state.alpha, state.numbers);
  sliders.forEach((sync) => sync());
  link.href = `#alpha=${state.alpha}&numbers=${state.numbers.join(",")}`;
  for (const draw of figures) draw(latest, false);
  clearTimeout(waiting);
  waiting = setTimeout(told, 150);
}
function told() {
  const status = document.getElementById("status");
  status.className = latest.refusal ? "bad" : "";
  status.textContent = latest.refusal ? latest.refusal
    : `Certified at the nodes, interpolated between: revenue ${digits(latest.revenue, 6)} ± ${digits(data.bounds.revenue, 2)}, ` +
      `efficiency ${digits(latest.efficiency, 6)} ± ${digits(data.bounds.efficiency, 2)} money ` +
      `(${data.safety} times the largest error at ${data.heldOut} places between them).`;
  for (const draw of figures) draw(latest, true);
}
const inside = (value, low, high, other) => (value >= low && value <= high ? value : other);
function restore() {
  const asked = new URLSearchParams(location.hash.slice(1));
  if (asked.has("probe")) return probe(asked.get("probe"));
  if (asked.has("alpha")) state.alpha = inside(Number(asked.get("alpha")), 0, 1, start.alpha);
  const numbers = (asked.get("numbers") ?? "").split(",");
  data.knobs.forEach((knob, k) => {
    const value = numbers[k] ? Number(numbers[k]) : NaN;
    state.numbers[k] = inside(value, knob.low, knob.high, state.numbers[k]);
  });
}
/* For tests: the numbers at many places, as text. */
function probe(text) {
  const places = text.split(";").map((place) => place.split(",").map(Number)).slice(0, 4000);
  const rows = places.map(([alpha, ...numbers]) => {
    const found = answer(alpha, numbers);
    const rest = found.refusal ? [] : data.spec.flatMap(([name]) => Array.from(found[name]));
    return [found.revenue ?? null, found.efficiency ?? null, found.weight ?? null, ...rest];
  });
  document.body.append(element("pre", { id: "probe", textContent: JSON.stringify(rows) }));
}
window.addEventListener("hashchange", () => { restore(); show(); told(); });
restore();
show();
told();
