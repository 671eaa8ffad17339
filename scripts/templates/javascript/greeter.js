// Greets people: the exports of the world in wit/world.wit.

/** The interface `{{id}}/greeter`. */
export const greeter = {
  /**
   * @param {string} name
   * @returns {string} what the WIT calls `ok`; what it calls `err` is thrown as it is
   */
  greet(name) {
    if (name === '') {
      throw 'nobody to greet';
    }
    return `Hello, ${name}!`;
  },
};
