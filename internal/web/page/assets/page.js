// Keeps the page fresh; everything works without it.
