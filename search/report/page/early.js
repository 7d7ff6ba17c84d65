"use strict";
// Before anything is painted: the theme that was chosen here before, if a browser remembers it for files.
try {
  const kept = localStorage.getItem("order-search theme");
  if (kept === "light" || kept === "dark") document.documentElement.dataset.theme = kept;
} catch (_) {
  // Nothing is remembered then.
}
document.documentElement.classList.add("scripted");
