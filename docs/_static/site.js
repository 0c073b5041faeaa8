// What is wider than the screen is scrolled with a finger or a mouse; with the keyboard, only if it takes the focus.
function makeFocusable() {
  for (const box of document.querySelectorAll(".table-wrapper, article pre")) {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  }
}
addEventListener("DOMContentLoaded", makeFocusable);
addEventListener("resize", makeFocusable);
