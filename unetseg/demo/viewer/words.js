// What the page says, in the visitor's language: sentences, numbers, amounts. Knows no server.

import { chinese, chineseNames } from "./chinese.js";
import { english } from "./english.js";

/** @typedef {"en" | "zh"} Language */

/** @type {Record<Language, {sentences: Record<string, string>, names: Record<string, string>, locale: string}>} */
const LANGUAGES = {
  en: { sentences: english, names: {}, locale: "en" },
  zh: { sentences: chinese, names: chineseNames, locale: "zh-Hans" },
};
/** @type {Record<Language, string>} */
export const OWN_NAMES = { en: "English", zh: "中文" };
const KEPT = "unetseg.language";

/** The language that the visitor chose here before, else the browser's. @returns {Language} */
export function preferred() {
  try {
    const kept = localStorage.getItem(KEPT);
    if (kept === "en" || kept === "zh") return kept;
  } catch {
    // a browser may keep nothing
  }
  const first = navigator.languages.find((one) => /^(en|zh)\b/i.test(one));
  return first?.toLowerCase().startsWith("zh") ? "zh" : "en";
}

/** @param {Language} language */
export function prefer(language) {
  try {
    localStorage.setItem(KEPT, language);
  } catch {
    // then for this visit alone
  }
}

export class Words {
  /** @param {Language} language */
  constructor(language) {
    this.language = language;
    const { sentences, names, locale } = LANGUAGES[language];
    this.sentences = sentences;
    this.names = names;
    /** A BCP 47 tag. */
    this.locale = locale;
  }

  /**
   * A sentence by its name, with the facts that it wants filled in.
   * @param {string} name
   * @param {Record<string, string | number>} [facts]
   */
  say(name, facts = {}) {
    const sentence = this.sentences[name];
    if (sentence === undefined) throw new Error(`the page has no sentence called ${name}`);
    return sentence.replace(/\{(\w+)\}/g, (_, fact) => String(facts[fact]));
  }

  /** Sentences one after another. @param {...(string | false | null | undefined)} sentences */
  after(...sentences) {
    return sentences.filter(Boolean).join(this.language === "zh" ? "" : " ");
  }

  /** What a class is called. @param {string} label */
  name(label) {
    return this.names[label] ?? label;
  }

  /** @param {string[]} parts */
  list(parts) {
    return parts.join(this.language === "zh" ? "，" : ", ");
  }

  /**
   * @param {number} value
   * @param {number} [digits] behind the point, at most
   */
  number(value, digits = 0) {
    return value.toLocaleString(this.locale, { maximumFractionDigits: digits });
  }

  /** Three digits that count. @param {number} value */
  about(value) {
    return value.toLocaleString(this.locale, { maximumSignificantDigits: 3 });
  }

  /** @param {number} value from 0 to 1 */
  score(value) {
    return value.toLocaleString(this.locale, { minimumFractionDigits: 3, maximumFractionDigits: 3 });
  }

  /** Two digits behind the point, three where two would not say it; what is there, however little, is never 0. @param {number} value */
  probability(value) {
    if (value > 0 && value < 0.0005) return `<${this.score(0.001)}`;
    const thousandths = Math.round(value * 1000);
    const digits = thousandths % 10 === 0 ? 2 : 3;
    return value.toLocaleString(this.locale, { minimumFractionDigits: digits, maximumFractionDigits: digits });
  }

  /** A share; what is there, however little, is never 0. @param {number} share @returns {string} */
  percent(share) {
    if (share > 0 && share < 0.0005) return `<${this.percent(0.001)}`;
    if (share < 1 && share >= 0.9995) return `>${this.percent(0.999)}`;
    const digits = share === 0 || share === 1 ? 0 : 1;
    return share.toLocaleString(this.locale, {
      style: "percent",
      minimumFractionDigits: digits,
      maximumFractionDigits: digits,
    });
  }

  /** An area in hectares, or in m² where it is small. @param {number} m2 */
  ground(m2) {
    return m2 >= 1000 || m2 === 0 ? `${this.about(m2 / 10_000)} ha` : `${this.about(m2)} m²`;
  }

  /** @param {number} mm2 */
  area(mm2) {
    return mm2 >= 100 || mm2 === 0 ? `${this.about(mm2 / 100)} cm²` : `${this.about(mm2)} mm²`;
  }

  /** @param {number} mm3 */
  volume(mm3) {
    return `${this.about(mm3 / 1000)} mL`;
  }

  /** @param {number} bytes */
  bytes(bytes) {
    const [size, unit] = bytes >= 1e9 ? [bytes / 1e9, "GB"] : bytes >= 1e6 ? [bytes / 1e6, "MB"] : [bytes / 1e3, "kB"];
    return `${this.number(size, size < 10 ? 1 : 0)} ${unit}`;
  }

  /** How long something is still to take, roughly. @param {number} seconds */
  time(seconds) {
    if (seconds < 90) return `${this.number(Math.max(1, Math.ceil(seconds)))} s`;
    return seconds < 5400
      ? this.say("minutes", { count: this.number(seconds / 60) })
      : this.say("hours", { count: this.number(seconds / 3600, 1) });
  }
}
