// Elements whose texts are always texts: names in a report come from files and are never read as HTML.

/** <tag attributes...>children...</tag>; a child is an element or becomes a text, null is left out. */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children.filter((child) => child !== null));
  return made;
}

/**
 * columns: {title, value: (row) => text, kind: undefined | "number" | "long" | "hash"}; the first heads its row.
 * The table scrolls sideways inside of its box where the page is too narrow for it.
 */
export function table(caption, columns, rows) {
  const head = columns.map((column) => element("th", { scope: "col", class: column.kind ?? "" }, column.title));
  const cell = (column, index, row) =>
    index === 0
      ? element("th", { scope: "row" }, column.value(row))
      : element("td", { class: column.kind ?? "" }, column.value(row));
  const body = rows.map((row) => element("tr", {}, ...columns.map((column, index) => cell(column, index, row))));
  const made = element(
    "table",
    {},
    element("caption", {}, caption),
    element("thead", {}, element("tr", {}, ...head)),
    element("tbody", {}, ...body),
  );
  return element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, made);
}

export const details = (title, ...children) => element("details", {}, element("summary", {}, title), ...children);
