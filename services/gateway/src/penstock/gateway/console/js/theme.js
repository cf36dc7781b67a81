/** Light, dark, or as the system says. A plain script, so that it runs before anything is painted. */
(() => {
  const kept = localStorage.getItem("penstock.theme");
  if (kept === "light" || kept === "dark") document.documentElement.dataset.theme = kept;
})();
