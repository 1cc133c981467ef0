"use strict";
// Sliders: a range input lies over the two images, so that mouse, touch and keyboard all work by themselves.
const place = (slider, value) => {
  slider.value = value;
  const frame = slider.closest(".compare");
  frame.style.setProperty("--at", value + "%");
  slider.setAttribute("aria-valuetext", `${value}% output, ${100 - value}% target`);
  frame.querySelector(".tag.l").style.opacity = value < 25 ? 0 : 1;
  frame.querySelector(".tag.r").style.opacity = value > 75 ? 0 : 1;
};
const sliders = [...document.querySelectorAll(".compare input")];
for (const slider of sliders) slider.addEventListener("input", () => { place(slider, slider.value); press(null); });

const buttons = [...document.querySelectorAll(".switch button")];
const press = (chosen) => { for (const button of buttons) button.setAttribute("aria-pressed", button === chosen); };
for (const button of buttons) {
  button.addEventListener("click", () => {
    for (const slider of sliders) place(slider, button.dataset.at);
    press(button);
  });
}

// Each of these hides the boxes of one look everywhere.
for (const button of document.querySelectorAll(".looks button")) {
  button.addEventListener("click", () => {
    const shown = button.getAttribute("aria-pressed") === "true";
    document.body.classList.toggle(`hide-${button.dataset.look}`, shown);
    for (const other of document.querySelectorAll(`.looks button[data-look="${button.dataset.look}"]`)) {
      other.setAttribute("aria-pressed", String(!shown));
    }
  });
}

// The name of an image opens it large: with what every system scored on it, or with its boxes.
const dialog = document.querySelector("dialog");
for (const title of document.querySelectorAll("button.title")) {
  title.addEventListener("click", () => {
    const card = title.closest(".case"), large = dialog.querySelector(".large");
    dialog.querySelector("h2").textContent = title.textContent;
    if (large) large.replaceChildren(card.querySelector(".boxed").cloneNode(true));
    else {
      for (const side of ["input", "output", "target"]) dialog.querySelector(`img.${side}`).src = card.querySelector(`img.${side}`).src;
      dialog.querySelector(".each").replaceChildren(card.querySelector("template").content.cloneNode(true));
    }
    dialog.showModal();
  });
}
dialog?.querySelector(".close").addEventListener("click", () => dialog.close());
dialog?.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });

// Commands to copy; where the page may not reach the clipboard, the selected words wait for Ctrl-C.
for (const button of document.querySelectorAll(".command button")) {
  button.addEventListener("click", async () => {
    const code = button.parentElement.querySelector("code");
    getSelection().selectAllChildren(code);
    try { await navigator.clipboard.writeText(code.textContent); button.textContent = "Copied"; } catch { button.textContent = "Press Ctrl-C"; }
  });
}
