// Reads a template into a tree of nodes:
//   { kind: 'text', text }
//   { kind: 'value', name, filters: [{ name, argument }], at, source }
//   { kind: 'section', name, inverted, children, at, source }
// `at` is an offset into the template, `source` the tag as written.

/** The deepest nesting of sections. */
const DEPTH_MAX = 32;

const NAME = /^[\p{L}\p{N}_.-]+$/u;

/** Returns the place of a tag: line and column from 1, in characters. */
export function placeOf(template, { at, source }) {
  const lines = template.slice(0, at).split('\n');
  return { line: lines.length, column: [...lines.at(-1)].length + 1, text: source };
}

/** Parses a template; throws a `render-error` of the WIT. */
export function parse(template) {
  const root = { children: [] };
  const open = [root];
  let position = 0;
  while (position < template.length) {
    const tag = nextTag(template, position);
    const before = tag === undefined ? template.slice(position) : template.slice(position, tag.textEnd);
    if (before !== '') open.at(-1).children.push({ kind: 'text', text: before });
    if (tag === undefined) break;
    takeTag(tag, open, template);
    position = tag.end;
  }
  if (open.length > 1) throw { tag: 'unclosed', val: placeOf(template, open.at(-1)) };
  return root.children;
}

/** Finds the next `{{…}}`; a section tag or comment alone on its line takes the line with it. */
function nextTag(template, position) {
  const at = template.indexOf('{{', position);
  if (at < 0) return undefined;
  const close = template.indexOf('}}', at + 2);
  if (close < 0) throw { tag: 'unclosed', val: placeOf(template, { at, source: template.slice(at, at + 40) }) };
  const source = template.slice(at, close + 2);
  const inside = source.slice(2, -2).trim();
  const sigil = '#^/!'.includes(inside.charAt(0)) ? inside.charAt(0) : '';
  const tag = { at, source, sigil, body: inside.slice(sigil.length).trim(), textEnd: at, end: close + 2 };
  if (sigil !== '') widenToLine(template, position, tag);
  return tag;
}

function widenToLine(template, position, tag) {
  const lineStart = template.lastIndexOf('\n', tag.at - 1) + 1;
  const newline = template.indexOf('\n', tag.end);
  const lineEnd = newline < 0 ? template.length : newline;
  // Something before `position` on this line is an earlier tag: then this one is not alone.
  const isAlone =
    lineStart >= position &&
    template.slice(lineStart, tag.at).trim() === '' &&
    template.slice(tag.end, lineEnd).trim() === '';
  if (!isAlone) return;
  tag.textEnd = lineStart;
  tag.end = Math.min(lineEnd + 1, template.length);
}

function takeTag(tag, open, template) {
  switch (tag.sigil) {
    case '!':
      return;
    case '#':
    case '^':
      openSection(tag, open, template);
      return;
    case '/':
      closeSection(tag, open, template);
      return;
    default:
      open.at(-1).children.push(valueNode(tag, template));
  }
}

function openSection(tag, open, template) {
  if (!NAME.test(tag.body) || open.length > DEPTH_MAX) throw { tag: 'malformed', val: placeOf(template, tag) };
  const { at, source } = tag;
  const node = { kind: 'section', name: tag.body, inverted: tag.sigil === '^', children: [], at, source };
  open.at(-1).children.push(node);
  open.push(node);
}

function closeSection(tag, open, template) {
  if (open.length < 2 || open.at(-1).name !== tag.body) throw { tag: 'unopened', val: placeOf(template, tag) };
  open.pop();
}

function valueNode(tag, template) {
  const [name, ...filters] = tag.body.split('|').map((part) => part.trim());
  if (!NAME.test(name)) throw { tag: 'malformed', val: placeOf(template, tag) };
  const { at, source } = tag;
  return { kind: 'value', name, filters: filters.map(readFilter), at, source };
}

function readFilter(text) {
  const colon = text.indexOf(':');
  if (colon < 0) return { name: text, argument: '' };
  return { name: text.slice(0, colon).trim(), argument: text.slice(colon + 1) };
}
