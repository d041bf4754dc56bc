// The head of the page, and its light.
import { at, el, Element } from "./base.js";
import { language, languages, setLanguage, t } from "./languages.js";

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
    this.button = el("button", { type: "button", class: "quiet", onclick: () => {
      localStorage.setItem(memory, apply() ? "light" : "dark");
      this.show();
    } });
    root.append(el("header", { class: "frame" }, el("img", { src: at("separate-static/icon.svg"), alt: "", width: "36", height: "36" }),
      el("div", { class: "frame-words" }, el("h1", { text: "separate" }), el("p", { text: t("Type what you want to hear, and get it out of any recording.") })),
      el("select", { class: "languages", "aria-label": t("Language"), onchange: (event) => setLanguage(event.target.value) },
        ...Object.entries(languages).map(([code, name]) => el("option", { value: code, lang: code, selected: code === language, text: name }))),
      this.button));
    nameTabs();
    system.addEventListener("change", () => this.show());
    this.show();
  }
  show() {
    const light = apply();
    this.button.textContent = light ? t("Light") : t("Dark");
    this.button.setAttribute("aria-label", light ? t("Switch to light colours") : t("Switch to dark colours"));
    window.dispatchEvent(new Event("resize"));
  }
}

// Gradio draws the tabs, and again in its menu where the window is narrow.
function nameTabs() {
  const names = { Separate: t("Separate"), Lyrics: t("Lyrics"), Batch: t("Batch"), About: t("About") };
  const rename = () => document.querySelectorAll("#tabs [role=tab], #tabs .overflow-dropdown button").forEach((tab) => {
    const name = names[tab.textContent.trim()];
    if (name && name !== tab.textContent.trim()) tab.textContent = name;
  });
  rename();
  new MutationObserver(rename).observe(document.body, { childList: true, subtree: true });
}

apply();
customElements.define("separate-frame", Frame);
