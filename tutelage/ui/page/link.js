// The WebSocket: opens again by itself, hands on what comes, and answers requests by their number.

const RETRY_MS = [200, 500, 1000, 2000];
const HEAD_BYTES = 16; // kind, camera, two spare, number, stamp [s]; little-endian

export class Link extends EventTarget {
  constructor() {
    super();
    this.open = false;
    this.cameras = [];
    this.roundTripMs = NaN;
    this._asked = new Map();
    this._number = 0;
    this._tries = 0;
    this._pinged = 0;
    this._connect();
    setInterval(() => this._ping(), 1000);
  }

  /** Send a message; what cannot be sent now is lost, and false is returned: nothing old may ever move the arm. */
  send(message) {
    if (!this.open) return false;
    this._socket.send(JSON.stringify(message));
    return true;
  }

  /** Send a request; resolve to {done, message}. */
  ask(type, fields = {}) {
    const id = ++this._number;
    return new Promise((resolve) => {
      this._asked.set(id, resolve);
      if (!this.send({ type, id, ...fields })) this._answer({ id, done: false, message: "no connection" });
    });
  }

  _connect() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    this._socket = new WebSocket(`${scheme}://${location.host}/ws`);
    this._socket.binaryType = "arraybuffer";
    this._socket.onopen = () => {
      this.open = true;
      this._tries = 0;
      this._emit("open");
    };
    this._socket.onclose = () => {
      const was = this.open;
      this.open = false;
      for (const id of [...this._asked.keys()]) this._answer({ id, done: false, message: "the connection was lost" });
      if (was) this._emit("lost");
      setTimeout(() => this._connect(), RETRY_MS[Math.min(this._tries++, RETRY_MS.length - 1)]);
    };
    this._socket.onmessage = (event) => (typeof event.data === "string" ? this._line(event.data) : this._picture(event.data));
  }

  _line(text) {
    const message = JSON.parse(text);
    if (message.type === "answer") this._answer(message);
    else if (message.type === "pong") this.roundTripMs = message.number === this._pingNumber ? performance.now() - this._pinged : NaN;
    else {
      if (message.type === "welcome") this.cameras = message.cameras;
      this._emit(message.type, message);
    }
  }

  _picture(data) {
    const head = new DataView(data);
    const camera = this.cameras[head.getUint8(1)];
    const picture = { camera, number: head.getUint32(4, true), stampS: head.getFloat64(8, true), jpeg: data.slice(HEAD_BYTES) };
    this._emit("picture", picture);
  }

  _answer({ id, done, message }) {
    const resolve = this._asked.get(id);
    this._asked.delete(id);
    if (resolve) resolve({ done, message });
  }

  _ping() {
    this._pingNumber = (this._pingNumber ?? 0) + 1;
    this._pinged = performance.now();
    this.send({ type: "ping", number: this._pingNumber });
  }

  _emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
