// Choosing what runs: the graph, its check-list, and episodes.

import { blankByFullStop } from "./say.js";

const byId = (id) => document.getElementById(id);
const option = (value) => new Option(value, value);

export class Start {
  constructor(link, report) {
    this._link = link;
    this._report = report;
    this._tasks = [];
    blankByFullStop(byId("run-task"));
    link.addEventListener("welcome", ({ detail }) => this._offer(detail));
    link.addEventListener("graph", ({ detail }) => this._graph(detail));
    link.addEventListener("checks", ({ detail }) => this._checks(detail.items));
    link.addEventListener("session", ({ detail }) => this._session(detail));
    byId("launch").addEventListener("submit", (event) => {
      event.preventDefault();
      const rewards = [...document.querySelectorAll("#reward-choices input:checked")].map(({ value }) => value);
      const fields = { robot: byId("robot").value, task: byId("launch-task").value, policy: byId("policy").value, rewards };
      this._ask("launch", fields);
    });
    byId("shutdown").addEventListener("click", () => this._ask("shutdown"));
    byId("run").addEventListener("submit", (event) => {
      event.preventDefault();
      this._ask("run", {
        task: byId("run-task").value.trim(),
        seed: Number(byId("run-seed").value),
        episodes: Number(byId("run-episodes").value),
        max_steps: Number(byId("run-steps").value),
        record: byId("run-record").checked,
        driver: document.querySelector("input[name=run-driver]:checked").value,
      }, true);
    });
  }

  async _ask(type, fields, show) {
    const { done, message } = await this._link.ask(type, fields);
    this._report(message, done);
    if (done && show) byId("tab-drive").click();
  }

  _offer({ robots, robot, tasks, policies, rewards }) {
    this._tasks = tasks;
    byId("robot").replaceChildren(...robots.map(option));
    byId("robot").value = robot;
    byId("launch-task").replaceChildren(...tasks.map(({ name }) => option(name)));
    byId("policy").replaceChildren(...policies.map(option));
    byId("task-names").replaceChildren(...tasks.map(({ name }) => option(name)));
    if (!byId("run-task").value) byId("run-task").value = tasks[0]?.name ?? "";
    byId("reward-choices").replaceChildren(...rewards.map((name) => {
      const label = document.createElement("label");
      const box = Object.assign(document.createElement("input"), { type: "checkbox", value: name });
      label.append(box, ` ${name}`);
      return label;
    }));
    this._kinds("");
  }

  _graph({ state, message, log }) {
    byId("graph-words").textContent = `${state}${message ? `: ${message}` : ""}`;
    byId("log").textContent = log.join("\n");
  }

  _checks(items) {
    byId("checks").replaceChildren(...items.map(({ node, ready, missing }) => {
      const item = document.createElement("li");
      item.className = ready ? "good" : "bad";
      item.textContent = `${ready ? "✓" : "✗"} ${node}${ready ? "" : `: ${missing}`}`;
      return item;
    }));
  }

  _session({ task_name: name }) {
    if (name && name !== this._shown) this._kinds(name);
  }

  _kinds(name) {
    this._shown = name;
    const task = this._tasks.find((item) => item.name === name);
    const kinds = task ? task.failures : [...new Set(this._tasks.flatMap(({ failures }) => failures))];
    const select = byId("failure-kind");
    const before = select.value;
    select.replaceChildren(new Option("unknown", ""), ...kinds.map(option));
    if (kinds.includes(before)) select.value = before;
  }
}
