// What is wider than the page takes the focus, so that the arrow keys can move it.
new MutationObserver(() => {
  for (const part of document.querySelectorAll(".md-typeset__scrollwrap, pre > code")) {
    if (part.hasAttribute("tabindex")) continue;
    part.tabIndex = 0;
    part.setAttribute("role", "region");
    part.setAttribute("aria-label", part.matches("code") ? "Code" : "Table");
  }
}).observe(document.body, { childList: true, subtree: true });
