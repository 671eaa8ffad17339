// How the parts of the calculator give up: by throwing a `calc-error` of the WIT, which becomes the `err` of the result.

import type { CalcError, Problem } from 'demo:calculator/calc@0.1.0';

/** Throws an error that consists of a place and a message. */
export function fail(tag: Extract<CalcError, { val: Problem }>['tag'], at: number, message: string): never {
  throw { tag, val: { at, message } } satisfies CalcError;
}

/** Throws any other error. */
export function failWith(error: CalcError): never {
  throw error;
}
