// The line for language corrections. Space stops the arm, from here too: a full stop writes the blank.

import { typing } from "./hand.js";

const MOST = 6;

/** Phrases that fit what was typed: the beginnings of their words, or their first letters. */
export function matches(phrases, text) {
  const typed = text.trim().toLowerCase();
  if (!typed) return phrases.slice(0, MOST);
  const fits = (phrase) => {
    const words = phrase.split(" ");
    if (phrase.includes(typed) || words.map((word) => word[0]).join("").startsWith(typed)) return true;
    const parts = typed.split(/\s+/);
    let at = 0;
    return parts.every((part) => {
      while (at < words.length && !words[at].startsWith(part)) at += 1;
      return at++ < words.length;
    });
  };
  return phrases.filter(fits).slice(0, MOST);
}

/** In text lines a full stop writes a blank, since Space stops the arm. */
export function blankByFullStop(input) {
  input.addEventListener("beforeinput", (event) => {
    if (event.data !== ".") return;
    event.preventDefault();
    input.setRangeText(" ", input.selectionStart, input.selectionEnd, "end");
    input.dispatchEvent(new Event("input"));
  });
}

export class Say {
  constructor(link, report) {
    this._link = link;
    this._report = report;
    this._form = document.getElementById("say");
    this._input = document.getElementById("sentence");
    this._list = document.getElementById("suggestions");
    this._said = document.getElementById("said");
    this._phrases = [];
    this._chosen = -1;
    blankByFullStop(this._input);
    link.addEventListener("welcome", ({ detail }) => this._take(detail.phrases));
    this._input.addEventListener("input", () => this._suggest());
    this._input.addEventListener("focus", () => this._suggest());
    this._input.addEventListener("blur", () => setTimeout(() => this._hide(), 150));
    this._input.addEventListener("keydown", (event) => this._key(event));
    this._form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.say(this._picked() ?? this._input.value);
    });
    window.addEventListener("keydown", (event) => {
      if (typing(event.target) || event.ctrlKey || event.altKey || event.metaKey || event.repeat) return;
      if (event.key === "/") {
        event.preventDefault();
        this._input.focus();
      } else if (/^Digit[1-9]$/.test(event.code)) {
        const phrase = this._phrases[Number(event.code[5]) - 1];
        if (phrase) this.say(phrase);
      }
    });
  }

  async say(sentence) {
    const words = sentence.trim();
    if (!words) return;
    this._hide();
    const { done, message } = await this._link.ask("correct", { sentence: words });
    const item = document.createElement("li");
    item.textContent = done ? words : `${words}: ${message}`;
    item.className = done ? "good" : "bad";
    this._said.prepend(item);
    while (this._said.children.length > 50) this._said.lastChild.remove();
    if (done) this._input.value = "";
    else this._report(message);
  }

  _take(phrases) {
    this._phrases = phrases;
    const place = document.getElementById("phrases");
    place.replaceChildren();
    phrases.slice(0, 9).forEach((phrase, number) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(phrase.replace("move arm ", ""));
      const key = document.createElement("kbd");
      key.textContent = number + 1;
      button.append(key);
      button.setAttribute("aria-label", phrase);
      button.addEventListener("click", () => this.say(phrase));
      place.append(button);
    });
  }

  _suggest() {
    const found = matches(this._phrases, this._input.value);
    this._chosen = -1;
    this._list.replaceChildren(...found.map((phrase, number) => {
      const item = document.createElement("li");
      item.id = `suggestion-${number}`;
      item.textContent = phrase;
      item.setAttribute("role", "option");
      item.addEventListener("pointerdown", (event) => { event.preventDefault(); this.say(phrase); });
      return item;
    }));
    this._list.hidden = !found.length;
    this._input.setAttribute("aria-expanded", String(!this._list.hidden));
  }

  _hide() {
    this._list.hidden = true;
    this._input.setAttribute("aria-expanded", "false");
  }

  _picked() {
    return this._list.hidden || this._chosen < 0 ? null : this._list.children[this._chosen].textContent;
  }

  _key(event) {
    const count = this._list.children.length;
    if (event.key === "Escape") {
      this._hide();
      this._input.blur();
    } else if ((event.key === "ArrowDown" || event.key === "ArrowUp") && count) {
      event.preventDefault();
      this._chosen = (this._chosen + (event.key === "ArrowDown" ? 1 : -1) + count) % count;
      [...this._list.children].forEach((item, number) => item.setAttribute("aria-selected", String(number === this._chosen)));
      this._input.setAttribute("aria-activedescendant", `suggestion-${this._chosen}`);
    } else if (event.key === "Tab" && !event.shiftKey && count && !this._list.hidden && this._input.value) {
      event.preventDefault();
      this._input.value = this._picked() ?? this._list.children[0].textContent;
      this._suggest();
    }
  }
}
