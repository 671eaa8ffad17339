// Greets people: the exports of the world in wit/world.wit.

import type * as Greeter from '{{id}}/greeter@0.1.0';

/** The interface `{{id}}/greeter`. What the WIT calls `err` is thrown as it is. */
export const greeter: typeof Greeter = {
  greet(name: string): string {
    if (name === '') {
      throw 'nobody to greet';
    }
    return `Hello, ${name}!`;
  },
};
