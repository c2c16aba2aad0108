// The page: what is shown where, and what the buttons and keys ask for.

import { colour, draw, range } from "./charts.js";
import { Episodes } from "./episodes.js";
import { Hand, KEYS, typing } from "./hand.js";
import { Link } from "./link.js";
import { Panes } from "./panes.js";
import { Say } from "./say.js";
import { Start } from "./start.js";

const byId = (id) => document.getElementById(id);
const WORDS = {
  OFFLINE: "no connection to the server",
  "NO GRAPH": "no session answers: bring the graph up under Start",
  STOPPED: "stopped and latched; nothing moves",
  PAUSED: "the arm holds where it is",
  AUTONOMOUS: "the policy drives",
  CORRECTING: "a hand drives",
  RESETTING: "the arm goes home",
};
const SOURCES = { hold: "nobody", policy: "the policy", human: "a hand", expert: "an expert", phrase: "the policy, on a phrase", homing: "the way home" };
const CHART_S = 30;
const ALERT_MS = 8000;
const STOP_HEARD_MS = 500;

const link = new Link();
const latencies = [];
let session = null;
let alertTimer = 0;

function report(words, good = false) {
  const place = byId("alert");
  place.textContent = words;
  place.hidden = !words || good;
  if (good && words) byId("series").textContent = words;
  clearTimeout(alertTimer);
  alertTimer = setTimeout(() => { place.hidden = true; }, ALERT_MS);
}

async function ask(type, fields) {
  const { done, message } = await link.ask(type, fields);
  if (!done) report(message);
  return done;
}

const actions = {
  stop: () => {
    if (!link.send({ type: "stop" })) return report("NOT stopped: no connection to the server. Use the robot's own stop.");
    setTimeout(() => {
      if (session?.state !== "STOPPED") report("NOT stopped: nobody has said so yet. Use the robot's own stop.");
    }, STOP_HEARD_MS);
  },
  go: () => ask("event", { event: "START" }),
  pause: () => ask("event", { event: "PAUSE" }),
  clear: () => ask("event", { event: "CLEAR_STOP" }),
  end: () => ask("event", { event: "EPISODE_ENDED" }),
  success: () => ask("label", { success: true }),
  failure: () => ask("label", { success: false, failure: byId("failure-kind").value }),
  redo: () => ask("again", { what: "redo" }),
  next: () => ask("again", { what: "next" }),
};

function setState(state, words) {
  document.body.dataset.state = state;
  byId("state").textContent = state;
  byId("state-words").textContent = words || WORDS[state];
  document.title = `${state} · Tutelage`;
}

function showSession() {
  if (!link.open) return setState("OFFLINE");
  if (!session) return setState("NO GRAPH");
  const { state, task, episode, reason, driver } = session;
  setState(state, `${WORDS[state]}${reason ? ` (${reason})` : ""}`);
  byId("task").textContent = task || "–";
  byId("episode").textContent = episode ? `${episode}${driver === "hand" ? ", by hand" : ""}` : "none runs";
  byId("go").disabled = state !== "PAUSED";
  byId("pause").disabled = !["AUTONOMOUS", "CORRECTING", "RESETTING"].includes(state);
  byId("clear").hidden = state !== "STOPPED";
  byId("end").disabled = !episode;
}

function showArm({ gripper, force_n: force, speed_m_s: speed, source, phrase, reasons, human_share: share }) {
  byId("gripper").value = gripper ?? 0;
  byId("gripper-words").textContent = gripper === null ? "–" : `${Math.round(100 * gripper)} % open`;
  byId("force").value = force ?? 0;
  byId("force-words").textContent = force === null ? "–" : `${force.toFixed(1)} N`;
  byId("speed-words").textContent = speed === null ? "–" : `${(100 * speed).toFixed(1)} cm/s`;
  const helped = share === null ? "" : `; a hand drove ${Math.round(100 * share)} % of this episode`;
  byId("driver").textContent = (SOURCES[source] ?? "–") + helped;
  byId("phrase").textContent = phrase || "–";
  byId("reasons").textContent = reasons.length ? reasons.join(", ") : "as asked";
  byId("reasons").className = reasons.length ? "warn" : "";
}

// rewards

const curves = new Map();

function addReward({ model, points }) {
  if (!curves.has(model)) curves.set(model, { name: model, points: [], last: null });
  const curve = curves.get(model);
  for (const point of points) {
    const last = curve.points.at(-1);
    if (last && point.stamp_s < last[0] - 1) curve.points.length = 0; // another scene: time begins anew
    curve.points.push([point.stamp_s, point.valid ? point.value : null]);
    curve.last = point;
  }
  const newest = curve.points.at(-1)[0];
  while (curve.points[0][0] < newest - CHART_S) curve.points.shift();
}

function drawRewards() {
  if (!curves.size || byId("drive").hidden) return;
  const all = [...curves.values()];
  const to = Math.max(...all.map(({ points }) => points.at(-1)[0]));
  byId("no-rewards").hidden = true;
  byId("reward-chart").hidden = false;
  draw(byId("reward-chart"), all, to - CHART_S, to, ...range(all));
  byId("reward-words").replaceChildren(...all.map(({ name, last }, number) => {
    const item = document.createElement("li");
    const mark = document.createElement("span");
    mark.textContent = "■ ";
    mark.style.color = colour(number);
    const more = [last.success ? "looks like success" : "", last.progress === null ? "" : `progress ${last.progress.toFixed(2)}`];
    const words = last.valid ? [last.value.toFixed(3), ...more].filter(Boolean).join(", ") : `not valid: ${last.status} ${last.message}`;
    item.append(mark, `${name}: ${words}`);
    item.classList.toggle("bad", !last.valid);
    return item;
  }));
}

// learner

const learnt = [];

function showLearner(status) {
  byId("learner").hidden = false;
  learnt.push([status.steps, status.value]);
  if (learnt.length > 2000) learnt.splice(0, 500);
  const all = [{ name: "value", points: learnt }];
  draw(byId("learner-chart"), all, learnt[0][0], learnt.at(-1)[0] + 1, ...range(all));
  const { steps, updates, updates_per_s: pace, online, demonstrations, trouble, episodes, successes, share } = status;
  byId("learner-words").textContent =
    `mean value over steps. ${steps} steps, ${updates} updates (${pace.toFixed(1)} a second), replay ${online} + ${demonstrations} shown; ` +
    `${successes} of ${episodes} episodes succeeded, a hand drove ${Math.round(100 * share)} %${trouble ? `. ${trouble}` : ""}`;
  byId("learner-words").className = trouble ? "bad" : "";
}

function showNodes({ nodes }) {
  byId("nodes").replaceChildren(...nodes.map(({ name, well, message, values, age_s: age }) => {
    const row = document.createElement("tr");
    const silent = age > 3;
    const cells = [name, silent ? `silent for ${age.toFixed(0)} s` : message, Object.entries(values).map(([key, value]) => `${key} ${value}`).join(", ")];
    for (const text of cells) row.append(Object.assign(document.createElement("td"), { textContent: text }));
    row.className = silent || !well ? "bad" : "";
    return row;
  }));
}

function showWho({ driver, you, name, pages }) {
  byId("who").textContent = `${name}, ${pages} connected; ${you ? "you have the wheel" : driver ? `${driver} has the wheel` : "nobody has the wheel"}`;
  byId("wheel").textContent = you ? "Leave the wheel" : "Take the wheel";
  byId("wheel").disabled = !you && Boolean(driver);
  byId("wheel").onclick = () => link.send({ type: "drive", want: !you });
  document.body.dataset.drives = String(you);
}

// tabs

const tabs = [...document.querySelectorAll("[role=tab]")];

function open(tab) {
  for (const other of tabs) {
    const chosen = other === tab;
    other.setAttribute("aria-selected", String(chosen));
    other.tabIndex = chosen ? 0 : -1;
    byId(other.getAttribute("aria-controls")).hidden = !chosen;
  }
  if (tab.id === "tab-episodes") episodes.load();
}

for (const tab of tabs) {
  tab.addEventListener("click", () => open(tab));
  tab.addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    event.stopPropagation();
    const next = tabs[(tabs.indexOf(tab) + by + tabs.length) % tabs.length];
    next.focus();
    open(next);
  });
}

// joining it

const ui = { hold: byId("hold"), stick: byId("stick"), lift: byId("lift"), words: byId("hand-words"), speed: () => Number(byId("speed").value) };
const hand = new Hand(link, ui, actions);
const episodes = new Episodes(link);
new Panes(link, byId("panes"), latencies);
new Say(link, report);
new Start(link, report);

for (const id of ["stop", "go", "pause", "clear", "end", "success", "failure", "redo", "next"]) byId(id).addEventListener("click", actions[id]);
byId("grip").addEventListener("click", () => hand.toggleGripper());
byId("speed").addEventListener("input", () => { byId("speed-share").textContent = `${ui.speed()} %`; });
for (const [key, words] of KEYS) {
  const row = byId("keys").querySelector("tbody").insertRow();
  const label = document.createElement("kbd");
  label.textContent = key;
  row.insertCell().append(label);
  row.insertCell().textContent = words;
}
const ACTION_KEYS = { KeyP: "pause", KeyY: "success", KeyN: "failure", ArrowLeft: "redo", ArrowRight: "next" };
window.addEventListener("keydown", (event) => {
  const target = event.target;
  if (typing(target) || event.ctrlKey || event.altKey || event.metaKey || event.repeat || byId("drive").hidden) return;
  if (target instanceof HTMLElement && target.matches("[role=tab], input")) return;
  if (event.key === "Enter" && !(target instanceof HTMLElement && target.matches("button, summary"))) actions.go();
  else if (event.code in ACTION_KEYS) {
    event.preventDefault();
    actions[ACTION_KEYS[event.code]]();
  }
});

link.addEventListener("open", () => { session = null; showSession(); });
link.addEventListener("lost", () => { session = null; showSession(); });
link.addEventListener("session", ({ detail }) => { session = detail.state ? detail : null; showSession(); });
link.addEventListener("arm", ({ detail }) => showArm(detail));
link.addEventListener("reward", ({ detail }) => addReward(detail));
link.addEventListener("learner", ({ detail }) => showLearner(detail));
link.addEventListener("nodes", ({ detail }) => showNodes(detail));
link.addEventListener("who", ({ detail }) => showWho(detail));
link.addEventListener("refused", ({ detail }) => report(detail.message));
link.addEventListener("note", ({ detail }) => report(detail.message, detail.good));
link.addEventListener("series", ({ detail }) => { byId("series").textContent = detail.words; });
setInterval(drawRewards, 250);
setInterval(() => { byId("link-words").textContent = `round trip to the server ${Number.isNaN(link.roundTripMs) ? "–" : `${link.roundTripMs.toFixed(0)} ms`}`; }, 1000);
showSession();

window.tutelage = { link, hand, latencies, curves }; // for whoever measures
