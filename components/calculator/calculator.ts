// The calculator: the exports of the world `calculator`. Types of the WIT come from `build/types`, which the build makes.

import type { Answer, Builtin } from 'demo:calculator/calc@0.1.0';
import { write as log } from 'demo:logger/log@0.1.0';
import { find as findUnit } from 'demo:units/convert@0.1.0';
import { get as getSetting } from 'wasi:config/store@0.2.0-rc.1';

import { CONSTANTS, FUNCTIONS } from './builtins.js';
import { evaluate, type Value } from './evaluate.js';
import { fail, failWith } from './fail.js';
import { parse } from './parse.js';

/** The longest expression, in characters. */
const EXPRESSION_MAX = 1000;

/** Significant digits of an answer's text, unless `precision` is configured. */
const PRECISION_DEFAULT = 12;

let precision: number | undefined;

/** Returns the configured precision, read once for each instance. */
function digits(): number {
  if (precision === undefined) {
    const wanted = Number(getSetting('precision') ?? PRECISION_DEFAULT);
    precision = Number.isInteger(wanted) && wanted >= 1 && wanted <= 17 ? wanted : PRECISION_DEFAULT;
  }
  return precision;
}

/** Writes a number and its unit as people do. */
function write({ value, unit }: Value): string {
  const number = String(Number(value.toPrecision(digits())));
  return unit === undefined ? number : `${number} ${unit}`;
}

function compute(expression: string): Answer {
  const length = [...expression].length;
  if (length > EXPRESSION_MAX) fail('syntax', EXPRESSION_MAX, `longer than ${EXPRESSION_MAX} characters`);
  const result = evaluate(parse(expression, (text) => (findUnit(text) ?? undefined) !== undefined));
  if (!Number.isFinite(result.value)) failWith({ tag: 'overflow' });
  return { value: result.value, unit: result.unit, text: write(result) };
}

export const calc = {
  evaluate(expression: string): Answer {
    const answer = compute(expression);
    log('info', 'evaluate', `${expression} = ${answer.text}`);
    return answer;
  },

  builtins(): Builtin[] {
    const functions = [...FUNCTIONS].map(([name, { arity, about }]): Builtin => ({ name, arity, about }));
    const constants = [...CONSTANTS].map(([name, { about }]): Builtin => ({ name, arity: undefined, about }));
    return [...functions, ...constants].sort((a, b) => (a.name < b.name ? -1 : 1));
  },
};
