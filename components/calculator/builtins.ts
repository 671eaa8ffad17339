// The functions and constants that expressions can use.

/** A function of plain numbers. */
export interface Builtin {
  /** The fewest and the most arguments. */
  arity: [number, number];
  /** What it is. */
  about: string;
  /** Whether its arguments may have units, which are made equal and which the result has. */
  keepsUnit: boolean;
  /** Computes it; NaN where an argument is outside its domain. */
  compute: (...args: number[]) => number;
}

const MANY = 32;

const plain = (about: string, compute: (x: number) => number): Builtin => ({
  arity: [1, 1],
  about,
  keepsUnit: false,
  compute,
});

const sum = (...values: number[]): number => values.reduce((total, value) => total + value, 0);

/** Rounds half away from zero, to `digits` after the decimal point. */
function round(value: number, digits = 0): number {
  if (!Number.isInteger(digits) || Math.abs(digits) > 15) return NaN;
  const scale = 10 ** digits;
  return (Math.sign(value) * Math.round(Math.abs(value) * scale)) / scale;
}

/** The functions, ordered by name. */
export const FUNCTIONS: ReadonlyMap<string, Builtin> = new Map<string, Builtin>([
  ['abs', { ...plain('magnitude', Math.abs), keepsUnit: true }],
  ['ceil', { ...plain('next whole number above', Math.ceil), keepsUnit: true }],
  ['cos', plain('cosine of an angle in radians', Math.cos)],
  ['exp', plain('e to that power', Math.exp)],
  ['floor', { ...plain('next whole number below', Math.floor), keepsUnit: true }],
  ['ln', plain('natural logarithm', (x) => (x > 0 ? Math.log(x) : NaN))],
  [
    'log',
    {
      arity: [1, 2],
      about: 'logarithm, to base 10 or to the second argument',
      keepsUnit: false,
      compute: (x, base = 10) => (x! > 0 && base > 0 && base !== 1 ? Math.log(x!) / Math.log(base) : NaN),
    },
  ],
  ['max', { arity: [1, MANY], about: 'largest', keepsUnit: true, compute: Math.max }],
  [
    'mean',
    { arity: [1, MANY], about: 'arithmetic mean', keepsUnit: true, compute: (...v) => sum(...v) / v.length },
  ],
  ['min', { arity: [1, MANY], about: 'smallest', keepsUnit: true, compute: Math.min }],
  [
    'round',
    {
      arity: [1, 2],
      about: 'rounded, to that many digits after the point',
      keepsUnit: false,
      compute: (x, digits) => round(x!, digits),
    },
  ],
  ['sin', plain('sine of an angle in radians', Math.sin)],
  ['sqrt', plain('square root', Math.sqrt)],
  ['sum', { arity: [1, MANY], about: 'sum', keepsUnit: true, compute: sum }],
  ['tan', plain('tangent of an angle in radians', Math.tan)],
]);

/** The constants: name, value, meaning. */
export const CONSTANTS: ReadonlyMap<string, { value: number; about: string }> = new Map([
  ['e', { value: Math.E, about: 'base of the natural logarithm' }],
  ['pi', { value: Math.PI, about: 'circumference of a circle of diameter 1' }],
  ['tau', { value: 2 * Math.PI, about: 'circumference of a circle of radius 1' }],
]);
