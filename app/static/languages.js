// The language of the interface: what the visitor chose, else the browser's, else English.
// English is the source: a text is its own key, and languages/<code>.json has it in another language.

export const languages = { en: "English", de: "Deutsch", es: "Español", fr: "Français", pt: "Português", zh: "中文", ja: "日本語" };
const memory = "separate-language";

function wished() {
  const chosen = [localStorage.getItem(memory), ...navigator.languages].filter(Boolean);
  return chosen.map((name) => name.split("-")[0].toLowerCase()).find((name) => name in languages) ?? "en";
}

async function load(name) {
  if (name === "en") return {};
  const response = await fetch(new URL(`languages/${name}.json`, import.meta.url)).catch(() => null);
  return response?.ok ? response.json() : {};
}

export const language = wished();
const words = await load(language);
document.documentElement.lang = language;
document.documentElement.dir = ["ar", "fa", "he", "ur"].includes(language) ? "rtl" : "ltr";

// A text in the visitor's language; {name} stands for a value.
export function t(text, values = {}) {
  return (words[text] ?? text).replace(/\{(\w+)\}/g, (whole, name) => String(values[name] ?? whole));
}

export function setLanguage(name) {
  localStorage.setItem(memory, name);
  location.reload();
}

// The name of a language of the world, in the visitor's.
export const languageName = (code) => new Intl.DisplayNames([language], { type: "language" }).of(code);
