// Computes the tree. Conversions are the work of `demo:units`; unknown names are looked up in `demo:facts`.

import type { ConvertError } from 'demo:units/convert@0.1.0';
import { get as getFact } from 'demo:facts/store@0.1.0';
import { convert, parse as parseQuantity, type Quantity } from 'demo:units/convert@0.1.0';

import { CONSTANTS, FUNCTIONS } from './builtins.js';
import { fail, failWith } from './fail.js';
import type { Node, Operator } from './parse.js';

/** A number, with or without a unit. */
export interface Value {
  value: number;
  unit?: string;
}

/** Computes a node. */
export function evaluate(node: Node): Value {
  switch (node.kind) {
    case 'number':
      return { value: node.value };
    case 'name':
      return evaluateName(node.name, node.at);
    case 'fact':
      return evaluateFact(node.key, node.at);
    case 'call':
      return evaluateCall(node);
    case 'negate': {
      const operand = evaluate(node.operand);
      return { ...operand, value: -operand.value };
    }
    case 'quantity': {
      const number = evaluate(node.number);
      if (number.unit !== undefined) fail('bad-units', node.at, `this is in ${number.unit} already`);
      // Converted into itself, so that the unit is known to exist and gets its symbol.
      return convertTo({ value: number.value, unit: node.unit }, node.unit, node.at);
    }
    case 'convert': {
      const operand = evaluate(node.operand);
      if (operand.unit === undefined) fail('bad-units', node.at, 'a number without a unit cannot be converted');
      return convertTo({ value: operand.value, unit: operand.unit }, node.unit, node.at);
    }
    case 'binary':
      return evaluateBinary(node.operator, evaluate(node.left), evaluate(node.right), node.at);
  }
}

function convertTo(quantity: Quantity, unit: string, at: number): Value {
  return orConversion(at, () => convert(quantity, unit));
}

/** Runs a call to `demo:units`, whose `err` arrives as an exception, and says where in the expression it failed. */
function orConversion(at: number, call: () => Quantity): Value {
  try {
    return call();
  } catch (error) {
    return failWith({ tag: 'conversion', val: { at, reason: reasonOf(error) } });
  }
}

/** Returns the `err` that an import threw; anything else goes on as it is. */
function reasonOf(error: unknown): ConvertError {
  const reason = error instanceof Error && 'payload' in error ? error.payload : error;
  if (typeof reason === 'object' && reason !== null && 'tag' in reason) return reason as ConvertError;
  throw error;
}

function evaluateName(name: string, at: number): Value {
  const constant = CONSTANTS.get(name);
  return constant === undefined ? evaluateFact(name, at) : { value: constant.value };
}

function evaluateFact(key: string, at: number): Value {
  // The types say `undefined` for a `none`, the engine gives `null`; `??` minds both.
  const fact = getFact(key) ?? undefined;
  if (fact === undefined) return fail('unknown-name', at, `no function, constant or fact is called \`${key}\``);
  switch (fact.value.tag) {
    case 'number':
      return { value: fact.value.val };
    case 'flag':
      return { value: fact.value.val ? 1 : 0 };
    case 'text': {
      const text = fact.value.val;
      return orConversion(at, () => parseQuantity(text));
    }
  }
}

function evaluateCall({ name, args, at }: Extract<Node, { kind: 'call' }>): Value {
  const builtin = FUNCTIONS.get(name);
  if (builtin === undefined) return fail('unknown-name', at, `there is no function \`${name}\``);
  const [fewest, most] = builtin.arity;
  if (args.length < fewest || args.length > most) {
    const wanted = fewest === most ? `${fewest}` : `${fewest} to ${most}`;
    fail('bad-argument', at, `\`${name}\` takes ${wanted} ${most === 1 ? 'argument' : 'arguments'}, not ${args.length}`);
  }
  const values = args.map(evaluate);
  const unit = values[0]?.unit;
  if (unit !== undefined && !builtin.keepsUnit) fail('bad-units', at, `\`${name}\` takes numbers without units`);
  const numbers = values.map((value) => inUnit(value, unit, at));
  const value = builtin.compute(...numbers);
  if (Number.isNaN(value)) fail('bad-argument', at, `\`${name}\` is not defined there`);
  return unit === undefined ? { value } : { value, unit };
}

/** Returns the number that `value` is in `unit`; both have a unit or neither has. */
function inUnit(value: Value, unit: string | undefined, at: number): number {
  if (value.unit === unit) return value.value;
  if (value.unit === undefined || unit === undefined) fail('bad-units', at, 'one side has a unit, the other has none');
  return convertTo({ value: value.value, unit: value.unit }, unit, at).value;
}

function evaluateBinary(operator: Operator, left: Value, right: Value, at: number): Value {
  switch (operator) {
    case '+':
      return { ...left, value: left.value + inUnit(right, left.unit, at) };
    case '-':
      return { ...left, value: left.value - inUnit(right, left.unit, at) };
    case '*':
      if (left.unit !== undefined && right.unit !== undefined) fail('bad-units', at, 'both sides have a unit');
      return { ...left, ...right, value: left.value * right.value };
    case '/':
      return divide(left, right, at);
    case '%': {
      const modulus = inUnit(right, left.unit, at);
      if (modulus === 0) failWith({ tag: 'division-by-zero', val: at });
      return { ...left, value: left.value % modulus };
    }
    case '^': {
      if (left.unit !== undefined || right.unit !== undefined) fail('bad-units', at, 'powers take numbers without units');
      const value = left.value ** right.value;
      if (Number.isNaN(value)) fail('bad-argument', at, 'this power is not a real number');
      return { value };
    }
  }
}

/** Divides; two quantities give a plain ratio. */
function divide(left: Value, right: Value, at: number): Value {
  const divisor = right.unit === undefined ? right.value : inUnit(right, left.unit, at);
  if (divisor === 0) failWith({ tag: 'division-by-zero', val: at });
  const value = left.value / divisor;
  return left.unit === undefined || right.unit !== undefined ? { value } : { value, unit: left.unit };
}
