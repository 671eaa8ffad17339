// Reads tokens into a tree, by recursive descent.

import { fail } from './fail.js';
import { lex, type Token } from './lex.js';

/** An operator between two values. */
export type Operator = '+' | '-' | '*' | '/' | '%' | '^';

/** A node of the tree; `at` is the character that an error points to. */
export type Node =
  | { kind: 'number'; value: number; at: number }
  | { kind: 'fact'; key: string; at: number }
  | { kind: 'name'; name: string; at: number }
  | { kind: 'call'; name: string; args: Node[]; at: number }
  | { kind: 'quantity'; number: Node; unit: string; at: number }
  | { kind: 'negate'; operand: Node; at: number }
  | { kind: 'binary'; operator: Operator; left: Node; right: Node; at: number }
  | { kind: 'convert'; operand: Node; unit: string; at: number };

/** The deepest nesting of parentheses, signs and powers. */
const DEPTH_MAX = 50;

/** The most arguments of a function. */
const ARGUMENTS_MAX = 32;

/** Parses a whole expression; `isUnit` tells whether a text names a unit. */
export function parse(expression: string, isUnit: (text: string) => boolean): Node {
  return new Parser(lex(expression), isUnit).whole();
}

class Parser {
  private next = 0;
  private depth = 0;

  constructor(
    private readonly tokens: Token[],
    private readonly isUnit: (text: string) => boolean,
  ) {}

  whole(): Node {
    const node = this.conversion();
    const token = this.peek();
    if (token.kind !== 'end') fail('syntax', token.at, `\`${token.text}\` was not expected here`);
    return node;
  }

  private peek(ahead = 0): Token {
    // The last token is an `end`, and nothing moves past it.
    return this.tokens[Math.min(this.next + ahead, this.tokens.length - 1)]!;
  }

  private take(): Token {
    const token = this.peek();
    if (token.kind !== 'end') this.next += 1;
    return token;
  }

  private takeSign<T extends string>(...signs: T[]): (Token & { text: T }) | undefined {
    const token = this.peek();
    if (token.kind !== 'sign' || !signs.includes(token.text as T)) return undefined;
    this.next += 1;
    return token as Token & { text: T };
  }

  private nested<T>(inside: () => T): T {
    this.depth += 1;
    if (this.depth > DEPTH_MAX) fail('syntax', this.peek().at, 'nested too deep');
    const result = inside();
    this.depth -= 1;
    return result;
  }

  private conversion(): Node {
    let node = this.sum();
    while (isKeyword(this.peek())) {
      const { at } = this.take();
      node = { kind: 'convert', operand: node, unit: this.unit(), at };
    }
    return node;
  }

  private sum(): Node {
    let left = this.product();
    for (let token = this.takeSign('+', '-'); token !== undefined; token = this.takeSign('+', '-')) {
      left = { kind: 'binary', operator: token.text, left, right: this.product(), at: token.at };
    }
    return left;
  }

  private product(): Node {
    let left = this.signed();
    for (let token = this.takeSign('*', '/', '%'); token !== undefined; token = this.takeSign('*', '/', '%')) {
      left = { kind: 'binary', operator: token.text, left, right: this.signed(), at: token.at };
    }
    return left;
  }

  private signed(): Node {
    const token = this.takeSign('-', '+');
    if (token === undefined) return this.power();
    const operand = this.nested(() => this.signed());
    return token.text === '-' ? { kind: 'negate', operand, at: token.at } : operand;
  }

  private power(): Node {
    const left = this.quantity();
    const token = this.takeSign('^');
    if (token === undefined) return left;
    const right = this.nested(() => this.signed());
    return { kind: 'binary', operator: '^', left, right, at: token.at };
  }

  private quantity(): Node {
    const number = this.primary();
    const takesUnit = number.kind === 'number' || this.tokens[this.next - 1]?.text === ')';
    if (!takesUnit || !this.isUnitAhead()) return number;
    const { at } = this.peek();
    return { kind: 'quantity', number, unit: this.unit(), at };
  }

  /** Tells whether a unit follows; `in` is the inch unless another name comes after it. */
  private isUnitAhead(): boolean {
    const token = this.peek();
    if (token.kind !== 'name') return false;
    if (!isKeyword(token)) return true;
    const after = this.peek(1);
    return token.text === 'in' && (after.kind !== 'name' || isKeyword(after));
  }

  /** Takes a unit: names in a row, such as `nautical miles`, or two joined by `/`, such as `km/h`. */
  private unit(): string {
    const token = this.take();
    if (token.kind !== 'name') fail('syntax', token.at, 'a unit was expected here');
    let unit = token.text;
    while (this.peek().kind === 'name' && !isKeyword(this.peek())) unit += ` ${this.take().text}`;
    const [slash, name] = [this.peek(), this.peek(1)];
    const isJoined = slash.text === '/' && !slash.spaced && name.kind === 'name' && !name.spaced;
    if (isJoined && this.isUnit(`${unit}/${name.text}`)) {
      unit += `/${name.text}`;
      this.next += 2;
    }
    return unit;
  }

  private primary(): Node {
    const token = this.take();
    switch (token.kind) {
      case 'number':
        return { kind: 'number', value: Number(token.text.replaceAll('_', '')), at: token.at };
      case 'key':
        return { kind: 'fact', key: token.text.trim(), at: token.at };
      case 'name':
        if (this.takeSign('(') === undefined) return { kind: 'name', name: token.text, at: token.at };
        return { kind: 'call', name: token.text, args: this.args(), at: token.at };
      case 'sign':
        if (token.text === '(') return this.parenthesised(token);
        return fail('syntax', token.at, `\`${token.text}\` was not expected here`);
      case 'end':
        return fail('syntax', token.at, 'the expression ends too early');
    }
  }

  private parenthesised(open: Token): Node {
    const inside = this.nested(() => this.conversion());
    if (this.takeSign(')') === undefined) fail('syntax', open.at, 'this parenthesis is not closed');
    return inside;
  }

  private args(): Node[] {
    const args: Node[] = [];
    if (this.takeSign(')') !== undefined) return args;
    do {
      if (args.length === ARGUMENTS_MAX) fail('syntax', this.peek().at, `more than ${ARGUMENTS_MAX} arguments`);
      args.push(this.nested(() => this.conversion()));
    } while (this.takeSign(',') !== undefined);
    const token = this.peek();
    if (this.takeSign(')') === undefined) fail('syntax', token.at, '`,` or `)` was expected here');
    return args;
  }
}

function isKeyword(token: Token): boolean {
  return token.kind === 'name' && (token.text === 'in' || token.text === 'to');
}
