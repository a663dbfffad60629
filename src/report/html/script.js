"use strict";
// Filters the mistakes and saves the figures. Without it the page is a plain document.

for (const section of document.querySelectorAll(".mistakes")) {
  const form = section.querySelector("form");
  const told = section.querySelector("output");
  const nothing = section.querySelector(".nothing");
  const items = [...section.querySelectorAll("ol > li")].map((element) => ({
    element,
    mistakes: element.dataset.mistakes.split(" ").map((mistake) => mistake.split(":")),
    text: element.textContent.toLowerCase(),
  }));

  const apply = () => {
    const { kind, label, outcome, text } = Object.fromEntries(new FormData(form));
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    const asked = [kind, label, outcome];
    let shown = 0;
    for (const { element, mistakes, text } of items) {
      // One and the same mistake must be all that was asked for.
      const fits = mistakes.some((mistake) => asked.every((part, i) => !part || part === mistake[i]));
      element.hidden = !(fits && words.every((word) => text.includes(word)));
      shown += element.hidden ? 0 : 1;
    }
    told.textContent = `${shown} of ${items.length} shown`;
    nothing.hidden = shown > 0;
  };

  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  apply();
}

const save = document.getElementById("save");
save.addEventListener("click", () => {
  const json = document.getElementById("evaluations").textContent;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([json], { type: "application/json" }));
  link.download = "evaluation.json";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
});
save.hidden = false;

// What a link leads to is shown unfolded.
const unfold = () => {
  const target = location.hash && document.getElementById(location.hash.slice(1));
  if (target instanceof HTMLDetailsElement) target.open = true;
};
addEventListener("hashchange", unfold);
unfold();
