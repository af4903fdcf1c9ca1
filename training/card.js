// The matrix names the square under the pointer; a heading sorts its table.
"use strict";

const matrix = document.getElementById("matrix");
if (matrix) {
  const { names, cells } = JSON.parse(document.getElementById("cells").textContent);
  const counts = new Map(cells.map(([row, column, n]) => [row * names.length + column, n]));
  const totals = names.map((_, row) => names.reduce((sum, _, column) => sum + (counts.get(row * names.length + column) || 0), 0));
  const readout = document.getElementById("readout"), cross = matrix.querySelector(".cross");
  const margin = Number(matrix.dataset.margin), cell = Number(matrix.dataset.cell);
  const read = (event) => {
    const box = matrix.getBoundingClientRect(), scale = matrix.viewBox.baseVal.width / box.width;
    const column = Math.floor(((event.clientX - box.left) * scale - margin) / cell);
    const row = Math.floor(((event.clientY - box.top) * scale - margin) / cell);
    if (row < 0 || column < 0 || row >= names.length || column >= names.length) return;
    const n = counts.get(row * names.length + column) || 0, all = totals[row], k = names.length;
    const share = all ? ` (${(100 * n / all).toFixed(n && n < all ? 1 : 0)} %)` : "";
    const said = row === column ? "found" : `taken for ${names[column]}`;
    readout.textContent = `${names[row]}, ${said}: ${n} of ${all}${share}`;
    cross.setAttribute("d", `M0 ${row}h${k}v1H0zM${column} 0h1v${k}h-1z`);
  };
  matrix.addEventListener("pointermove", read);
  matrix.addEventListener("pointerdown", read);
}

for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  table.tHead.addEventListener("click", (event) => {
    const head = event.target.closest("button")?.parentElement;
    if (!head) return;
    const value = (row) => row.cells[head.cellIndex].dataset.value ?? row.cells[head.cellIndex].textContent;
    const isNumber = "value" in (body.rows[0]?.cells[head.cellIndex].dataset ?? {});
    const falling = head.ariaSort ? head.ariaSort === "ascending" : isNumber;
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.ariaSort = falling ? "descending" : "ascending";
    const order = isNumber ? (a, b) => value(a) - value(b) : (a, b) => value(a).localeCompare(value(b));
    body.append(...[...body.rows].sort((a, b) => (falling ? order(b, a) : order(a, b))));
  });
}
