// What a result can be downloaded as, made when it is clicked.

import { openDialog } from "./dialog.js";
import { button, fill, make } from "./element.js";

/** @typedef {import("./facts.js").Info} Info */
/** @typedef {import("./words.js").Words} Words */
/** @typedef {(kind: string) => Promise<{blob: Blob, name: string}>} Fetch */

/** @param {Element} within @param {Words} words @param {Info} info @param {Fetch} get @param {(error: unknown) => string} sentence */
export function openDownloads(within, words, info, get, sentence) {
  const rows = info.downloads.map((download) => {
    const said = make("span", { class: "download-said small", role: "status" });
    const act = button(downloadText(download, words), () => void save(), { class: "wide" });
    const save = async () => {
      if (act.getAttribute("aria-busy") === "true") return;
      act.setAttribute("aria-busy", "true");
      fill(said, words.say("making"));
      try {
        const { blob, name } = await get(download.kind);
        keep(blob, name);
        fill(said, words.say("madeIt", { name }));
      } catch (error) {
        fill(
          said,
          make(
            "span",
            { class: "problem-text" },
            `${words.say("couldNot")} `,
            make("span", { lang: "en" }, sentence(error)),
          ),
        );
      } finally {
        act.removeAttribute("aria-busy");
      }
    };
    const names = download.names_patient && make("span", { class: "small" }, words.say("namesPatient"));
    return make("li", {}, act, names, said);
  });
  openDialog(
    within,
    words,
    words.say("downloadTitle"),
    make("p", { class: "small" }, words.say("downloadNote")),
    make("ul", { class: "downloads" }, ...rows),
  );
}

/** @param {{kind: string, name: string, family: string}} download @param {Words} words */
function downloadText({ kind, name, family }, words) {
  return kind in words.sentences ? words.say(kind, { family: family || name }) : name;
}

/** @param {Blob} blob @param {string} name */
function keep(blob, name) {
  const url = URL.createObjectURL(blob);
  const link = make("a", { href: url, download: name, hidden: true });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 60_000); // a browser may still be reading it
}
