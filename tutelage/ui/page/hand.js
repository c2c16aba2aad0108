// The hand at the page: keyboard, gamepad and touch, under one enabling key. Letting go of everything is one message,
// and silence is another: a page that says nothing for 0.2 s holds nothing.

const REPEAT_MS = 33;
const MOTION = {
  KeyW: [0, 1], KeyS: [0, -1], KeyA: [1, 1], KeyD: [1, -1], KeyR: [2, 1], KeyF: [2, -1],
  KeyO: [3, 1], KeyU: [3, -1], KeyI: [4, 1], KeyK: [4, -1], KeyJ: [5, 1], KeyL: [5, -1],
};
const UNHEARD_MS = 600;
const REST_WORDS = "Hold the enabling key; let go and the arm pauses.";
const DEAD_ZONE = 0.12;
const EXPO = 0.5;
const PAD = { gripper: 0, turn: 4, enable: 5, stop: 8, go: 9 }; // standard layout of the browsers
const PAD_SILENCE_MS = 1000; // a pad out of reach goes on showing its last state

export const KEYS = [
  ["Space", "stop, always, whatever has the focus"],
  ["Shift, held", "enables: without it nothing moves; let go and the arm pauses"],
  ["W S", "ahead, back"], ["A D", "left, right"], ["R F", "up, down"],
  ["O U", "tilt right, left"], ["I K", "tilt back, ahead"], ["J L", "turn left, right"],
  ["G", "gripper"], ["Enter", "the policy drives"], ["P", "pause"],
  ["/ and Esc", "into the line, and out of it"], ["1 … 9", "phrases"],
  ["Y N", "success, failure"], ["← →", "redo, next"],
  ["Gamepad", "right shoulder enables; sticks move; left shoulder turns; A gripper; Back stops; Start: the policy drives"],
];

export function typing(target) {
  return target instanceof HTMLElement && target.matches("input[type=text], input[type=number], select, textarea");
}

const shaped = (value) => {
  const size = Math.max(0, Math.min(Math.abs(value), 1) - DEAD_ZONE) / (1 - DEAD_ZONE);
  return Math.sign(value) * ((1 - EXPO) * size + EXPO * size ** 3);
};

export class Hand {
  constructor(link, ui, actions) {
    this._link = link;
    this._ui = ui;
    this._actions = actions;
    this._keys = new Set();
    this._touch = { held: false, stick: [0, 0], lift: 0 };
    this._pad = { held: false, axes: [0, 0, 0, 0, 0, 0], buttons: [], stamp: -1, heard: 0, tired: false };
    this._held = false;
    this._gripper = null; // what this hand told last; null: nothing, it stays as it is
    this._number = 0;
    this.presses = []; // when the enabling key went down, for whoever measures
    window.addEventListener("keydown", (event) => this._down(event), true);
    window.addEventListener("keyup", (event) => this._up(event), true);
    for (const event of ["blur", "pagehide"]) window.addEventListener(event, () => this.letGo());
    document.addEventListener("visibilitychange", () => document.hidden && this.letGo());
    document.addEventListener("focusin", (event) => typing(event.target) && this.letGo());
    link.addEventListener("lost", () => this.letGo());
    link.addEventListener("who", ({ detail }) => this._drives(detail.you));
    link.addEventListener("arm", ({ detail }) => { if (!this._held) this._gripperNow = detail.gripper; });
    this._bindTouch();
    setInterval(() => this._beat(), REPEAT_MS);
  }

  letGo() {
    this._keys.clear();
    this._touch = { held: false, stick: [0, 0], lift: 0 };
    this._pad.tired = true; // its key has to come up before it counts again
    this._ui.stick.querySelector("i").style.cssText = "";
    this._ui.lift.querySelector("i").style.cssText = "";
    this._say();
  }

  toggleGripper() {
    if (!this._held) return;
    const now = this._gripper ?? this._gripperNow ?? 1;
    this._gripper = now > 0.5 ? 0 : 1;
    this._say();
  }

  _drives(you) {
    if (this._you && !you) this.letGo();
    this._you = you;
  }

  _down(event) {
    if (event.code === "Space") { // before everything else, from any focus
      event.preventDefault();
      event.stopImmediatePropagation();
      if (!event.repeat) this._actions.stop();
      return;
    }
    if (typing(event.target) || event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.code in MOTION || event.code.startsWith("Shift")) {
      if (!event.repeat) {
        if (event.code.startsWith("Shift")) this.presses.push(performance.timeOrigin + event.timeStamp);
        this._keys.add(event.code);
        this._say();
      }
      if (event.code in MOTION) event.preventDefault();
    } else if (event.code === "KeyG" && !event.repeat) this.toggleGripper();
  }

  _up(event) {
    if (event.code === "Space") event.preventDefault(); // no button is pressed by it
    if (this._keys.delete(event.code)) this._say();
    if (event.key === "Shift") { // the other one may have come up unseen
      for (const code of ["ShiftLeft", "ShiftRight"]) this._keys.delete(code);
      this._say();
    }
  }

  _bindTouch() {
    const { hold, stick, lift } = this._ui;
    const release = () => { this._touch.held = false; this._say(); };
    hold.addEventListener("pointerdown", (event) => {
      hold.setPointerCapture(event.pointerId);
      this.presses.push(performance.timeOrigin + event.timeStamp);
      this._touch.held = true;
      this._say();
    });
    for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) hold.addEventListener(name, release);
    hold.addEventListener("contextmenu", (event) => event.preventDefault());
    const follow = (place, take) => {
      const thumb = place.querySelector("i");
      const at = (event) => {
        const box = place.getBoundingClientRect();
        const x = Math.max(-1, Math.min(1, ((event.clientX - box.left) / box.width) * 2 - 1));
        const y = Math.max(-1, Math.min(1, ((event.clientY - box.top) / box.height) * 2 - 1));
        thumb.style.left = place === lift ? "50%" : `${50 + 50 * x}%`;
        thumb.style.top = `${50 + 50 * y}%`;
        take(-y, -x);
        this._say();
      };
      const rest = () => { thumb.style.cssText = ""; take(0, 0); this._say(); };
      place.addEventListener("pointerdown", (event) => { place.setPointerCapture(event.pointerId); at(event); });
      place.addEventListener("pointermove", (event) => place.hasPointerCapture(event.pointerId) && at(event));
      for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) place.addEventListener(name, rest);
    };
    follow(stick, (ahead, left) => { this._touch.stick = [ahead, left]; });
    follow(lift, (up) => { this._touch.lift = up; });
  }

  _readPad() {
    const pad = [...(navigator.getGamepads?.() ?? [])].find((item) => item?.connected && item.mapping === "standard");
    const state = this._pad;
    if (!pad) {
      state.held = false;
      state.axes.fill(0);
      return;
    }
    const now = performance.now();
    if (pad.timestamp !== state.stamp) [state.stamp, state.heard] = [pad.timestamp, now];
    const down = (button) => pad.buttons[button]?.pressed ?? false;
    const fresh = (button) => down(button) && !state.buttons[button];
    if (!down(PAD.enable)) state.tired = false;
    if (now - state.heard > PAD_SILENCE_MS) state.tired = true;
    state.held = down(PAD.enable) && !state.tired;
    const [lx, ly, rx, ry] = pad.axes.map(shaped);
    state.axes = down(PAD.turn) ? [0, 0, 0, lx, -ly, -rx] : [-ly, -lx, -ry, 0, 0, -rx];
    if (fresh(PAD.stop)) this._actions.stop();
    if (fresh(PAD.go)) this._actions.go();
    const grip = fresh(PAD.gripper);
    state.buttons = pad.buttons.map((button) => button.pressed);
    if (grip) this.toggleGripper();
  }

  _beat() {
    this._readPad();
    const held = this._isHeld();
    if (held || held !== this._held) this._say();
    if (!held) this._since = 0;
    else this._since ||= performance.now();
    const unheard = held && performance.now() - this._since > UNHEARD_MS && document.body.dataset.state !== "CORRECTING";
    const words = unheard ? "The arm does not follow: let go, see that an episode runs, and press again." : REST_WORDS;
    if (this._ui.words.textContent !== words) this._ui.words.textContent = words;
  }

  _isHeld() {
    return this._you === true && (this._touch.held || this._pad.held || this._keys.has("ShiftLeft") || this._keys.has("ShiftRight"));
  }

  _axes() {
    const axes = [...this._pad.axes];
    for (const code of this._keys) if (code in MOTION) axes[MOTION[code][0]] += MOTION[code][1];
    axes[0] += this._touch.stick[0];
    axes[1] += this._touch.stick[1];
    axes[2] += this._touch.lift;
    return axes.map((value) => Math.max(-1, Math.min(1, value)));
  }

  _say() {
    const held = this._isHeld();
    if (!held && !this._held) return;
    if (!held) this._gripper = null;
    if (held && !this._held) this._word(false); // it was up until now: a press counts only after that was heard
    this._held = held;
    this._ui.hold.classList.toggle("held", held);
    this._word(held);
  }

  _word(held) {
    this._link.send({
      type: "hand", number: ++this._number, ms: performance.now(), held,
      axes: held ? this._axes() : [0, 0, 0, 0, 0, 0], gripper: this._gripper, speed: this._ui.speed() / 100,
    });
  }
}
