// The head of the page, and its light.
import { at, el, Element } from "./base.js";

const memory = "separate-theme";
const system = matchMedia("(prefers-color-scheme: dark)");

function apply() {
  const wish = localStorage.getItem(memory);
  const dark = wish ? wish === "dark" : system.matches;
  document.documentElement.classList.toggle("dark", dark);
  document.body.classList.toggle("dark", dark);
  return dark;
}

class Frame extends Element {
  fill(root) {
    document.documentElement.lang = "en";
    this.button = el("button", { type: "button", class: "quiet", onclick: () => {
      localStorage.setItem(memory, apply() ? "light" : "dark");
      this.show();
    } });
    root.append(el("header", { class: "frame" }, el("img", { src: at("separate-static/icon.svg"), alt: "", width: "36", height: "36" }),
      el("div", { class: "frame-words" }, el("h1", { text: "separate" }), el("p", { text: "Type what you want to hear, and get it out of any recording." })),
      this.button));
    system.addEventListener("change", () => this.show());
    this.show();
  }
  show() {
    this.button.textContent = apply() ? "Light" : "Dark";
    this.button.setAttribute("aria-label", `Switch to ${this.button.textContent.toLowerCase()} colours`);
    window.dispatchEvent(new Event("resize"));
  }
}

apply();
customElements.define("separate-frame", Frame);
