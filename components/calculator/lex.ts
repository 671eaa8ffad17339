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

const NUMBER = /^(?:[0-9]+(?:_[0-9]+)*(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?/;
const NAME = /^[\p{L}°][\p{L}\p{N}_°²³]*/u;
const KEY = /^\[([^\]]*)\]/;
const SIGN = /^[-+*/%^(),]/;

const PATTERNS: readonly (readonly [Kind, RegExp])[] = [
  ['number', NUMBER],
  ['name', NAME],
  ['key', KEY],
  ['sign', SIGN],
];

/** Returns the tokens of `expression`, the last of which is an `end`. */
export function lex(expression: string): Token[] {
  const tokens: Token[] = [];
  let rest = expression;
  let at = 0;
  for (;;) {
    const trimmed = rest.trimStart();
    const spaced = trimmed.length < rest.length;
    at += rest.length - trimmed.length;
    rest = trimmed;
    if (rest === '') {
      tokens.push({ kind: 'end', text: '', at, spaced });
      return tokens;
    }
    const token = first(rest);
    if (token === undefined) fail('syntax', at, `\`${[...rest][0]}\` has no meaning here`);
    tokens.push({ kind: token.kind, text: token.text, at, spaced });
    at += [...token.whole].length;
    rest = rest.slice(token.whole.length);
  }
}

function first(rest: string): { kind: Kind; text: string; whole: string } | undefined {
  for (const [kind, pattern] of PATTERNS) {
    const match = pattern.exec(rest);
    if (match !== null) return { kind, text: match[1] ?? match[0], whole: match[0] };
  }
  return undefined;
}
