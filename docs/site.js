/* What the theme leaves out for readers without a mouse: the search's name, and wide tables that keys can scroll. */
document$.subscribe(() => {
  document.querySelector('.md-search')?.setAttribute('aria-label', 'Search');
  for (const table of document.querySelectorAll('.md-typeset__scrollwrap')) {
    table.tabIndex = 0;
  }
});
