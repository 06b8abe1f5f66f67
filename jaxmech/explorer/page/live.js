/* The live page: every number is asked of the server, the newest wish first; numbers are grey until they are certified. */
const controls = document.getElementById("controls"), main = document.getElementById("figures");
const light = document.getElementById("status");
const start = { goal: data.start.goal, aim: data.start.aim, values: { ...data.start.values } };
let state = structuredClone(start), past = [], sequence = 0, flying = false, shownLink = null, waiting = null;
const pins = [];

const linkOf = ({ goal, aim, values }) => new URLSearchParams({ goal, aim: String(aim), ...values }).toString();
const flatten = (found) => Object.fromEntries(Object.entries(found).map(([name, part]) =>
  [name, name === "names" ? part : [part].flat(Infinity).map((x) => x ?? NaN)]));
/* What the pictures are drawn from, of what the server says. */
function pictured(raw) {
  const series = raw.series ?? {}, common = { raw, series, sentences: raw.sentences ?? {} };
  if (raw.status !== "optimal") return { ...common, refusal: raw.status[0].toUpperCase() + raw.status.slice(1) };
  const { numbers } = raw, { endowment, density, ...curve } = flatten(series.curves), of = (name) => numbers.groups.map((g) => g[name]);
  const path = series.frontier, still = { endowment, density };
  if (path?.double_auction) {
    still.auction_revenue = [path.double_auction.revenue];
    still.auction_efficiency = [path.double_auction.efficiency];
  }
  return {
    ...common, ...curve, still, revenue: numbers.revenue, efficiency: numbers.efficiency, weight: numbers.weight,
    alpha: raw.alpha, least: path?.budget_weight ?? NaN,
    first_best_efficiency: [numbers.first_best_efficiency], first_best_surplus: [numbers.first_best_surplus],
    revenue_by_group: of("revenue"), gain_by_group: of("utility_gain"), idle: of("no_expected_trade_probability"),
    lower: of("binding_interval").map((ends) => ends[0]), upper: of("binding_interval").map((ends) => ends[1]),
    frontier: path?.weight.map((weight, k) => ({ weight, revenue: path.revenue[k], efficiency: path.efficiency[k] })),
  };
}
async function asked(parts) {
  const query = new URLSearchParams({ sequence: String(sequence), parts, link: linkOf(state) });
  const reply = await fetch(`/answer?${query}`);
  return reply.json();
}
function show() {
  if (linkOf(state) === shownLink) return redraw(true);
  sequence += 1;
  main.classList.add("waiting");
  sliders.forEach((sync) => sync());
  clearTimeout(waiting);
  if (!flying) fly();
}
async function fly() {
  flying = true;
  try {
    let answer = null;
    do { answer = await asked("curves,frontier"); } while (answer.sequence !== sequence);
    arrived(answer);
  } catch {
    light.className = "bad";
    light.textContent = "The server does not answer. Start jaxmech explore again.";
  } finally {
    flying = false;
  }
}
function arrived(answer) {
  const link = linkOf(state);
  if (shownLink !== null && past.at(-1) !== shownLink) past = [...past, shownLink].slice(-200);
  shownLink = link;
  latest = pictured(answer);
  history.replaceState(null, "", `?${link}`);
  main.classList.toggle("waiting", !answer.certified);
  document.getElementById("python").textContent = answer.python;
  for (const [name, anchor] of Object.entries(files)) anchor.href = `/${name}?${new URLSearchParams({ link })}`;
  reachable();
  redraw(false);
  waiting = setTimeout(late, 150);
}
/* What takes longer, once nothing has moved for a moment. */
async function late() {
  const mine = sequence;
  told();
  if (!latest.refusal) {
    const answer = await asked("sensitivity,outside_cost").catch(() => null);
    if (answer === null || mine !== sequence) return;
    Object.assign(latest.series, answer.series);
    Object.assign(latest.sentences, answer.sentences);
    redraw(true);
  }
  document.body.dataset.settled = String(mine);
}
function redraw(words) {
  sliders.forEach((sync) => sync());
  for (const draw of figures) draw(latest, words);
  document.body.dataset.drawn = String(sequence);
}
function told() {
  light.className = latest.refusal || !latest.raw.certified ? "bad" : "";
  const evidence = Object.entries(latest.raw.numbers?.certificate ?? {})
    .map(([name, value]) => `${name.replaceAll("_", " ")} ${Number(value).toExponential(1)}`).join(", ");
  light.textContent = latest.refusal
    ?? `${latest.raw.certified ? "Certified" : "NOT certified"}: revenue ${digits(latest.revenue, 8)}, efficiency ` +
      `${digits(latest.efficiency, 8)} money (${evidence}).`;
  redraw(true);
}

/* Controls. */
const box = (title, open) => {
  const made = element("details", { open }, element("summary", { textContent: title }));
  controls.append(made);
  return made;
};
const goal = box("What it is for", true);
const aimed = (kind) => (value) => { state = { ...state, goal: kind, aim: value }; };
const reads = (kind, found) => () => (state.goal === kind ? state.aim : latest?.[found] ?? (kind === "alpha" ? 0.5 : 0));
slider(goal, "α, weight on revenue", "", 0, 1, 0.001, reads("alpha", "alpha"), aimed("alpha"));
const targets = ["revenue", "efficiency"].map((kind) =>
  slider(goal, `target ${kind}`, "money", -1, 1, "any", reads(kind, kind), aimed(kind)));
function reachable() {
  if (!latest.frontier) return;
  targets.forEach((input, k) => {
    const values = latest.frontier.map((point) => point[["revenue", "efficiency"][k]]);
    [input.min, input.max] = [Math.min(...values), Math.max(...values)];
  });
}
const boxes = {};
for (const knob of data.knobs) {
  const title = knob.group || "The whole market";
  boxes[title] ??= box(title, false);
  const step = knob.whole ? 1 : "any", label = knob.group ? knob.name.slice(knob.group.length + 1) : knob.name;
  slider(boxes[title], label, knob.unit, knob.low, knob.high, step, () => state.values[knob.name] ?? knob.value, (value) => {
    state = { ...state, values: { ...state.values, [knob.name]: value } };
  });
}
function restored(link) {
  const told = Object.fromEntries(new URLSearchParams(link)), { goal: kind, aim, ...values } = told;
  const numbers = Object.fromEntries(Object.entries(values).map(([name, text]) => [name, Number(text)]));
  state = { goal: kind, aim: Number(aim), values: numbers };
}
function undo() {
  const link = past.pop();
  if (link === undefined) return;
  restored(link);
  shownLink = null;
  show();
}
const button = (text, act) => {
  const made = element("button", { type: "button", textContent: text });
  made.addEventListener("click", act);
  return made;
};
const anchor = (name) => element("a", { textContent: name, download: name });
const files = Object.fromEntries(["market.toml", "fees.csv", "fees.json"].map((name) => [name, anchor(name)]));
const pinned = element("table"), pin = () => {
  if (latest.refusal) return;
  pins.push({ link: shownLink, found: latest });
  compared();
};
function compared() {
  const kept = pins.slice(-2), rows = [["revenue", (f) => f.revenue], ["efficiency", (f) => f.efficiency],
    ...data.names.flatMap((name, k) => [[`${name} pays`, (f) => f.revenue_by_group[k]], [`${name} gains`, (f) => f.gain_by_group[k]]])];
  const cells = (kind, texts) => element("tr", {}, ...texts.map((text) => element(kind, { textContent: text })));
  const head = ["money", ...kept.map((_, k) => `pinned ${pins.length - kept.length + k + 1}`), ...(kept.length > 1 ? ["difference"] : [])];
  pinned.replaceChildren(cells("th", head), ...rows.map(([name, of]) => {
    const values = kept.map(({ found }) => of(found));
    return cells("td", [name, ...[...values, ...(values.length > 1 ? [values[1] - values[0]] : [])].map((x) => digits(x, 6))]);
  }));
}
controls.append(element("p", {}, button("Undo", undo), " ", button("Reset", () => { state = structuredClone(start); show(); }), " ",
  button("Pin", pin), " ", ...Object.values(files).flatMap((made) => [made, " "])), element("div", { className: "scroll" }, pinned));
main.after(element("h2", { textContent: "The same in Python" }), element("pre", { id: "python" }));
document.addEventListener("keydown", (event) => {
  if (event.key === "z" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); undo(); }
});
show();
