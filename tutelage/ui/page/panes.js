// Camera panes: the newest picture of each camera, how old it is, and how many come.

const OLD_MS = 500;

export class Panes {
  constructor(link, place, latencies) {
    this._link = link;
    this._place = place;
    this._latencies = latencies;
    this._panes = new Map();
    link.addEventListener("welcome", ({ detail }) => this._make(detail.cameras));
    link.addEventListener("picture", ({ detail }) => this._draw(detail));
    document.addEventListener("visibilitychange", () => this._watch());
    setInterval(() => this._look(), 250);
  }

  _make(cameras) {
    this._place.replaceChildren();
    this._panes.clear();
    for (const camera of cameras) {
      const figure = document.createElement("figure");
      const canvas = document.createElement("canvas");
      const caption = document.createElement("figcaption");
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `What camera ${camera} sees`);
      canvas.width = 4;
      canvas.height = 3;
      figure.append(canvas, caption);
      figure.className = "old";
      this._place.append(figure);
      this._panes.set(camera, { figure, canvas, caption, drawn: 0, times: [], age: NaN });
    }
    this._watch();
    this._look();
  }

  _watch() {
    this._link.send({ type: "watch", cameras: document.hidden ? [] : this._link.cameras });
  }

  async _draw({ camera, number, stampS, jpeg }) {
    const pane = this._panes.get(camera);
    let bitmap = null;
    try {
      bitmap = await createImageBitmap(new Blob([jpeg], { type: "image/jpeg" }));
    } finally {
      this._link.send({ type: "seen", picture: number });
    }
    if (!pane) return;
    if (pane.canvas.width !== bitmap.width || pane.canvas.height !== bitmap.height) {
      pane.canvas.width = bitmap.width;
      pane.canvas.height = bitmap.height;
      pane.canvas.style.aspectRatio = `${bitmap.width} / ${bitmap.height}`;
    }
    pane.canvas.getContext("2d").drawImage(bitmap, 0, 0);
    bitmap.close();
    pane.drawn = performance.now();
    pane.times.push(pane.drawn);
    requestAnimationFrame(() => {
      pane.age = performance.timeOrigin + performance.now() - stampS * 1000;
      this._latencies.push(pane.age);
      if (this._latencies.length > 5000) this._latencies.splice(0, 1000);
    });
  }

  _look() {
    const now = performance.now();
    for (const [camera, pane] of this._panes) {
      pane.times = pane.times.filter((time) => now - time < 2000);
      const silent = now - pane.drawn;
      const old = !pane.drawn || silent > OLD_MS;
      pane.figure.classList.toggle("old", old);
      const age = pane.age >= 0 && pane.age < 10000 ? `, ${pane.age.toFixed(0)} ms` : "";
      pane.caption.textContent = !pane.drawn
        ? `${camera}: no picture yet`
        : old
          ? `${camera}: no picture for ${(silent / 1000).toFixed(1)} s`
          : `${camera}: ${(pane.times.length / 2).toFixed(0)} a second${age}`;
    }
  }
}
