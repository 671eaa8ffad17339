// Fills values into templates. The filters that reshape text are the work of `demo:text`.

import { changeCase, clean, slug, wrap } from 'demo:text/prose@0.1.0';

import { parse, placeOf } from './parse.js';

/** Filters by name: (text, argument) => text, or undefined where the argument is bad. */
const FILTERS = {
  upper: (text) => changeCase(text, 'upper'),
  lower: (text) => changeCase(text, 'lower'),
  title: (text) => changeCase(text, 'title'),
  slug: (text) => slug(text),
  trim: (text) => clean(text, { trim: true, collapse: false, printable: false }),
  wrap: (text, argument) => (/^[0-9]{1,4}$/.test(argument) ? wrap(text, Number(argument)).join('\n') : undefined),
};

/** Returns what `name` stands for: in the innermost row that has it, else among the bindings. */
function lookUp(name, scopes) {
  for (let depth = scopes.length - 1; depth >= 0; depth -= 1) {
    if (scopes[depth].has(name)) return scopes[depth].get(name);
  }
  return undefined;
}

function toText(value) {
  switch (value.tag) {
    case 'table':
      return String(value.val.length);
    default:
      return String(value.val);
  }
}

/** Tells whether a section is shown. */
function isTruthy(value) {
  if (value === undefined) return false;
  return value.tag === 'table' ? value.val.length > 0 : Boolean(value.val);
}

function fill(node, scopes, template) {
  const fallback = node.filters.find((filter) => filter.name === 'default');
  const value = lookUp(node.name, scopes);
  if (value === undefined && fallback === undefined) throw { tag: 'unbound', val: placeOf(template, node) };
  let text = value === undefined ? '' : toText(value);
  for (const { name, argument } of node.filters) {
    if (name === 'default') {
      if (text === '') text = argument;
      continue;
    }
    const filter = Object.hasOwn(FILTERS, name) ? FILTERS[name] : undefined;
    const filtered = filter?.(text, argument);
    if (filtered === undefined) throw { tag: 'bad-filter', val: placeOf(template, node) };
    text = filtered;
  }
  return text;
}

function renderSection(node, scopes, template) {
  const value = lookUp(node.name, scopes);
  if (node.inverted) return isTruthy(value) ? '' : renderAll(node.children, scopes, template);
  if (!isTruthy(value)) return '';
  if (value.tag !== 'table') return renderAll(node.children, scopes, template);
  return value.val
    .map((row) => new Map(row.map((cell) => [cell.name, { tag: 'text', val: cell.text }])))
    .map((row) => renderAll(node.children, [...scopes, row], template))
    .join('');
}

function renderAll(nodes, scopes, template) {
  return nodes
    .map((node) => {
      switch (node.kind) {
        case 'text':
          return node.text;
        case 'value':
          return fill(node, scopes, template);
        default:
          return renderSection(node, scopes, template);
      }
    })
    .join('');
}

export const render = {
  render(template, bindings) {
    const outermost = new Map(bindings.map(({ name, value }) => [name, value]));
    return renderAll(parse(template), [outermost], template);
  },

  names(template) {
    const named = parse(template).filter((node) => node.kind !== 'text');
    return [...new Set(named.map((node) => node.name))];
  },
};
