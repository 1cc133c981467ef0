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

// The name of a case opens it large, with what every system scored on it.
const dialog = document.querySelector("dialog");
const sides = ["input", "output", "target"];
for (const title of document.querySelectorAll("button.title")) {
  title.addEventListener("click", () => {
    const card = title.closest(".case");
    dialog.querySelector("h2").textContent = title.textContent;
    for (const side of sides) dialog.querySelector(`img.${side}`).src = card.querySelector(`img.${side}`).src;
    dialog.querySelector(".each").replaceChildren(card.querySelector("template").content.cloneNode(true));
    dialog.showModal();
  });
}
dialog?.querySelector(".close").addEventListener("click", () => dialog.close());
dialog?.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
