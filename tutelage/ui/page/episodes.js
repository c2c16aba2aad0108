// Recorded episodes: the list, and two players side by side to compare.

import { colour, draw, range } from "./charts.js";

async function fetched(path) {
  const answer = await fetch(path);
  const data = await answer.json();
  if (!answer.ok) throw new Error(data.error ?? `the server says ${answer.status}`);
  return data;
}

const element = (name, text = "", className = "") => {
  const made = document.createElement(name);
  made.textContent = text;
  made.className = className;
  return made;
};

class Player {
  constructor(place, letter) {
    this._place = place;
    this._letter = letter;
    this._timer = 0;
  }

  async open(name) {
    clearInterval(this._timer);
    this.name = name;
    this._place.replaceChildren(element("p", `reading ${name} …`, "quiet"));
    const base = `api/episodes/${encodeURIComponent(name)}`;
    let data;
    try {
      data = await fetched(base);
    } catch (error) {
      this._place.replaceChildren(element("p", error.message, "bad"));
      return;
    }
    if (this.name !== name) return; // another one was opened meanwhile
    const shots = element("div", "", "shots");
    const images = data.cameras.map((camera) => {
      const image = element("img");
      image.alt = `camera ${camera}`;
      shots.append(image);
      return [camera, image];
    });
    const slider = element("input");
    Object.assign(slider, { type: "range", min: 0, max: data.periods - 1, value: 0 });
    slider.setAttribute("aria-label", `control period of ${name}`);
    const words = element("p", "", "quiet");
    const chart = element("canvas");
    chart.height = 130;
    const strip = element("img");
    strip.src = `${base}/strip.jpg`;
    strip.alt = `film strip of ${name}`;
    strip.className = "strip";
    const play = element("button", "Play");
    play.type = "button";
    const show = (period) => {
      slider.value = period;
      for (const [camera, image] of images) image.src = `${base}/${encodeURIComponent(camera)}/${period}.jpg`;
      const span = data.drivers.find(({ first, end }) => first <= period && period < end);
      const phrase = data.phrases.find(({ first, end }) => first <= period && period < end);
      const gate = data.changed.includes(period) ? ", changed by the gate" : "";
      words.textContent = `${period} of ${data.periods}, ${(period * data.period_s).toFixed(1)} s: ${span?.who ?? "–"}${gate}${phrase ? `, “${phrase.text}”` : ""}`;
      this._chart(chart, data, period);
    };
    slider.addEventListener("input", () => show(Number(slider.value)));
    play.addEventListener("click", () => {
      const plays = play.textContent === "Play";
      clearInterval(this._timer);
      play.textContent = plays ? "Hold" : "Play";
      if (!plays) return;
      this._timer = setInterval(() => {
        const next = Number(slider.value) + 1;
        if (next < data.periods) return show(next);
        clearInterval(this._timer);
        play.textContent = "Play";
      }, data.period_s * 1000);
    });
    const outcome = data.success ? "success" : data.failure || data.termination;
    const head = element("h2", `${this._letter}: ${name}`);
    const row = element("div", "", "row");
    row.append(play, element("span", outcome, data.success ? "good" : "bad"), element("span", data.instruction, "quiet"));
    this._place.replaceChildren(head, shots, slider, row, words, chart, this._legend(data), strip);
    show(0);
  }

  _curves(data) {
    const curves = Object.entries(data.rewards).map(([name, values]) => ({ name, points: values.map((value, at) => [at, value]) }));
    if (data.progress.some((value) => value !== null)) curves.push({ name: "true progress", points: data.progress.map((value, at) => [at, value]) });
    curves.push({ name: "gripper", points: data.gripper.map((value, at) => [at, value]) });
    return curves;
  }

  _legend(data) {
    const list = element("p", "", "quiet");
    const whos = new Map(data.drivers.map(({ who, colour: shade }) => [who, shade]));
    const entries = [...this._curves(data).map(({ name }, at) => [name, colour(at)]), ...whos];
    for (const [name, shade] of entries) {
      const mark = element("span", "■ ");
      mark.style.color = shade;
      list.append(mark, `${name}  `);
    }
    return list;
  }

  _chart(chart, data, period) {
    const curves = this._curves(data);
    draw(chart, curves, 0, data.periods - 1, ...range(curves));
    const pen = chart.getContext("2d");
    const width = chart.clientWidth || 300;
    const x = (at) => 44 + (at / Math.max(data.periods - 1, 1)) * (width - 50);
    for (const { colour: shade, first, end } of data.drivers) {
      pen.fillStyle = shade;
      pen.fillRect(x(first), 0, x(end) - x(first), 8);
    }
    pen.fillStyle = "#fff";
    pen.fillRect(x(period) - 1, 0, 2, 130);
  }
}

export class Episodes {
  constructor(link) {
    this._players = [new Player(document.getElementById("player-a"), "A"), new Player(document.getElementById("player-b"), "B")];
    document.getElementById("reload").addEventListener("click", () => this.load());
    link.addEventListener("series", () => document.getElementById("episodes").hidden || this.load());
  }

  async load() {
    const words = document.getElementById("library-words");
    let data;
    try {
      data = await fetched("api/episodes");
    } catch (error) {
      words.textContent = error.message;
      words.className = "bad";
      return;
    }
    const unfinished = data.unfinished.map(({ name, error }) => `${name} (${error})`).join(", ");
    words.title = data.folder;
    words.textContent = `${data.all} in ${data.folder.split("/").at(-1)}${unfinished ? `; not finished: ${unfinished}` : ""}`;
    words.className = "quiet";
    const rows = data.episodes.map((row) => this._row(row));
    document.querySelector("#library tbody").replaceChildren(...rows);
  }

  _row(row) {
    const line = element("tr");
    line.append(element("td", row.name));
    if (row.error) {
      const cell = element("td", row.error, "bad");
      cell.colSpan = 6;
      line.append(cell);
      return line;
    }
    const outcome = row.success ? "success" : row.failure || row.termination;
    const scores = Object.entries(row.scores).map(([model, value]) => `${model} ${value === null ? "none" : value.toFixed(3)}`);
    line.append(
      element("td", row.task),
      element("td", outcome + (row.judged ? " (judged)" : ""), row.success ? "good" : "bad"),
      element("td", String(row.steps)),
      element("td", row.steps ? `${Math.round((100 * row.human_periods) / row.steps)} %` : "–"),
      element("td", scores.join(", ") || "–"),
    );
    const buttons = element("td");
    this._players.forEach((player, at) => {
      const button = element("button", at ? "Compare" : "Open");
      button.type = "button";
      button.setAttribute("aria-label", `${at ? "compare with" : "open"} ${row.name}`);
      button.addEventListener("click", () => player.open(row.name));
      buttons.append(button, " ");
    });
    line.append(buttons);
    return line;
  }
}
