// The chosen theme, before anything is painted. Not here: the switch (console.js).
"use strict";
try {
  const theme = localStorage.getItem("hearth-theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // No storage: the system's theme it is.
}
