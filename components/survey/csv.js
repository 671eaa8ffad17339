// Reads the text form of a table: RFC 4180, with any kind of line end.

/** The most cells, and the most columns or groups. */
const CELLS_MAX = 10_000;
export const NAMES_MAX = 100;

/** One cell and what ends it: a comma, a line end, or the end of the text. */
const CELL = /(?:"([^"]*(?:""[^"]*)*)"|([^",\r\n]*))(,|\r\n?|\n|$)/y;

/** What counts as a number. */
const NUMBER = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i;

/** Returns { names, rows }: the cells as text. Throws a `table-error` of the WIT. */
export function parse(csv) {
  const [names, ...rows] = lines(csv);
  if (rows.length === 0) throw { tag: 'empty' };
  if (names.length > NAMES_MAX) throw { tag: 'too-wide', val: NAMES_MAX };
  const odd = rows.findIndex((row) => row.length !== names.length);
  if (odd >= 0) throw { tag: 'ragged', val: odd + 1 };
  return { names, rows };
}

/** Returns all lines but the empty ones, each a list of cells. */
function lines(csv) {
  const found = [];
  let line = [];
  let cells = 0;
  CELL.lastIndex = 0;
  while (CELL.lastIndex < csv.length) {
    const match = CELL.exec(csv);
    if (match === null) throw { tag: 'bad-quote' };
    cells += 1;
    if (cells > CELLS_MAX) throw { tag: 'too-long', val: CELLS_MAX };
    const [, quoted, plain, end] = match;
    line.push(quoted === undefined ? plain.trim() : quoted.replaceAll('""', '"'));
    if (end === ',' && CELL.lastIndex < csv.length) continue;
    // A comma at the very end has an empty cell behind it.
    if (end === ',') line.push('');
    if (line.length > 1 || line[0] !== '') found.push(line);
    line = [];
  }
  return found;
}

/** Returns the place of a column. */
export function placeOf(names, name) {
  const place = names.indexOf(name);
  if (place < 0) throw { tag: 'no-column', val: name };
  return place;
}

/** Returns what a cell says as a number, or undefined where it says none. */
export function toNumber(cell) {
  const number = NUMBER.test(cell) ? Number(cell) : Infinity;
  return Number.isFinite(number) ? number : undefined;
}
