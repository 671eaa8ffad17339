// Cuts an expression into tokens. Offsets are counted in characters, not in UTF-16 units.

import { fail } from './fail.js';

/** What a token is: a number, a name, a name in brackets, a sign of its own, or the end. */
export type Kind = 'number' | 'name' | 'key' | 'sign' | 'end';

/** A piece of an expression. */
export interface Token {
  kind: Kind;
  /** The name, the key without brackets, the sign, or the digits as written. */
  text: string;
  /** The offset of its first character. */
  at: number;
  /** Whether white space stands before it. */
  spaced: boolean;
}

// Sticky, so that each is tried just where the last token ended.
const SPACE = /\s*/uy;
const PATTERNS: readonly (readonly [Kind, RegExp])[] = [
  ['number', /(?:[0-9]+(?:_[0-9]+)*(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?/uy],
  ['sign', /[-+*/%^(),]/uy],
  ['name', /[\p{L}°][\p{L}\p{N}_°²³]*/uy],
  ['key', /\[([^\]]*)\]/uy],
];

/** Returns the tokens of `expression`, the last of which is an `end`. */
export function lex(expression: string): Token[] {
  const tokens: Token[] = [];
  let index = 0;
  let at = 0;
  for (;;) {
    const space = match(SPACE, expression, index)?.[0].length ?? 0;
    index += space;
    at += space;
    if (index === expression.length) {
      tokens.push({ kind: 'end', text: '', at, spaced: space > 0 });
      return tokens;
    }
    const { kind, text, whole } = tokenAt(expression, index, at);
    tokens.push({ kind, text, at, spaced: space > 0 });
    index += whole.length;
    at += [...whole].length;
  }
}

function match(pattern: RegExp, text: string, index: number): RegExpExecArray | null {
  pattern.lastIndex = index;
  return pattern.exec(text);
}

function tokenAt(expression: string, index: number, at: number): { kind: Kind; text: string; whole: string } {
  for (const [kind, pattern] of PATTERNS) {
    const found = match(pattern, expression, index);
    if (found !== null) return { kind, text: found[1] ?? found[0], whole: found[0] };
  }
  return fail('syntax', at, `\`${String.fromCodePoint(expression.codePointAt(index) ?? 0)}\` has no meaning here`);
}
