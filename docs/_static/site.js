// What is wider than the screen is scrolled with a finger or a mouse; with the keyboard, only if it takes the focus.
function makeFocusable() {
  for (const box of document.querySelectorAll(".table-wrapper, article pre, article p:has(> img)")) {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  }
}
addEventListener("DOMContentLoaded", makeFocusable);
addEventListener("resize", makeFocusable);

// The button that copies a program: sphinx-copybutton has no Korean. These are its variables.
if (document.documentElement.lang === "ko") {
  messages.ko = {
    copy: "복사",
    copy_to_clipboard: "클립보드에 복사",
    copy_success: "복사했습니다",
    copy_failure: "복사하지 못했습니다",
  };
  locale = "ko";
}
