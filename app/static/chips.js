// A field of words: type and press Enter, or take a suggestion. Works with the keyboard alone.
import { t } from "./languages.js";
import { el, facts, icon, unique } from "./base.js";

const most = 8;

export class Chips {
  constructor({ label, hint, placeholder, onChange = () => {} }) {
    this.words = [];
    this.onChange = onChange;
    const [id, list, help] = [unique("words"), unique("suggestions"), unique("hint")];
    this.list = el("ul", { class: "suggestions", role: "listbox", id: list, "aria-label": t("Suggestions") });
    this.list.hidden = true;
    this.input = el("input", { id, type: "text", placeholder, role: "combobox", autocomplete: "off", maxlength: "200",
      spellcheck: "false", "aria-autocomplete": "list", "aria-expanded": "false", "aria-controls": list,
      "aria-describedby": help,
      oninput: () => this.suggest(), onkeydown: (event) => this.key(event),
      onblur: () => { this.take(); this.close(); } });
    this.chips = el("ul", { class: "chips-list", "aria-label": label });
    this.field = el("div", { class: "chips", onclick: (event) => event.target === this.field && this.input.focus() },
      this.chips, this.input, this.list);
    this.node = el("div", { class: "field" }, el("label", { for: id, text: label }), this.field,
      el("p", { class: "hint", id: help, text: hint ?? "" }));
    this.placeholder = placeholder;
  }
  get value() {
    return [...this.words];
  }
  add(word) {
    const plain = word.replace(/\s+/g, " ").trim();
    const known = this.words.some((other) => other.toLowerCase() === plain.toLowerCase());
    if (plain && !known && this.words.length < facts.mostQueries) this.set([...this.words, plain]);
  }
  remove(word) {
    this.set(this.words.filter((other) => other !== word));
  }
  has(word) {
    return this.words.includes(word);
  }
  set(words) {
    this.words = words;
    this.chips.replaceChildren(...words.map((word) => el("li", { class: "chip" }, el("span", { dir: "auto", text: word }),
      el("button", { type: "button", "aria-label": t("Remove {name}", { name: word }), onclick: () => { this.remove(word); this.input.focus(); } },
        icon("close")))));
    this.input.placeholder = words.length ? "" : this.placeholder;
    this.onChange();
  }
  take() {
    const text = this.input.value;
    this.input.value = "";
    text.split(",").forEach((word) => this.add(word));
  }
  suggest() {
    if (this.input.value.includes(",")) this.take();
    const text = this.input.value.trim().toLowerCase();
    const open = facts.suggestions.filter((word) => !this.has(word));
    const found = text ? [...open.filter((word) => word.startsWith(text)),
      ...open.filter((word) => !word.startsWith(text) && word.includes(text))].slice(0, most) : [];
    this.active = -1;
    this.list.replaceChildren(...found.map((word, index) => el("li", { role: "option", id: `${this.list.id}-${index}`,
      "aria-selected": "false", text: word,
      onpointerdown: (event) => { event.preventDefault(); this.input.value = word; this.take(); this.close(); } })));
    this.list.hidden = !found.length;
    this.input.setAttribute("aria-expanded", String(!this.list.hidden));
    this.input.removeAttribute("aria-activedescendant");
  }
  close() {
    this.list.hidden = true;
    this.input.setAttribute("aria-expanded", "false");
  }
  move(step) {
    const options = [...this.list.children];
    if (this.list.hidden || !options.length) return;
    this.active = (this.active + step + options.length + (this.active < 0 && step < 0 ? 1 : 0)) % options.length;
    options.forEach((option, index) => option.setAttribute("aria-selected", String(index === this.active)));
    options[this.active].scrollIntoView({ block: "nearest" });
    this.input.setAttribute("aria-activedescendant", options[this.active].id);
  }
  key(event) {
    if (event.isComposing) return;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      this.move(event.key === "ArrowDown" ? 1 : -1);
    } else if (event.key === "Enter") {
      event.preventDefault();
      const chosen = this.list.hidden ? null : this.list.children[this.active];
      if (chosen) this.input.value = chosen.textContent;
      this.take();
      this.close();
    } else if (event.key === "Escape") this.close();
    else if (event.key === "Backspace" && !this.input.value && this.words.length) this.remove(this.words.at(-1));
  }
}
