"use strict";
// Each switch hides the boxes of one look everywhere.
for (const button of document.querySelectorAll(".looks button")) {
  button.addEventListener("click", () => {
    const shown = button.getAttribute("aria-pressed") === "true";
    document.body.classList.toggle(`hide-${button.dataset.look}`, shown);
    for (const other of document.querySelectorAll(`.looks button[data-look="${button.dataset.look}"]`)) {
      other.setAttribute("aria-pressed", String(!shown));
    }
  });
}

// The name of an image opens it large, with its boxes.
const dialog = document.querySelector("dialog");
for (const title of document.querySelectorAll("button.title")) {
  title.addEventListener("click", () => {
    dialog.querySelector("h2").textContent = title.textContent;
    dialog.querySelector(".large").replaceChildren(title.closest(".case").querySelector(".boxed").cloneNode(true));
    dialog.showModal();
  });
}
dialog?.querySelector(".close").addEventListener("click", () => dialog.close());
dialog?.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
