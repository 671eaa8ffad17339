// What the numbers of a table say. The numbers go to `demo:statistics`; what is held here are handles of its samples.

import { Sample } from 'demo:statistics/samples@0.1.0';

import { NAMES_MAX, parse, placeOf, toNumber } from './csv.js';

/** Makes a sample of these numbers. They are finite and fewer than a sample may have, so `add` does not throw. */
function sampleOf(numbers) {
  const sample = new Sample();
  sample.add(numbers);
  return sample;
}

/** Gives the sample of these numbers to `work`, and drops it afterwards. */
function withSample(numbers, work) {
  const sample = sampleOf(numbers);
  try {
    return work(sample);
  } finally {
    sample[Symbol.dispose]();
  }
}

/** Returns the number in a cell; throws a `table-error` where there is none. */
function numberIn(rows, row, place) {
  const number = toNumber(rows[row][place]);
  if (number === undefined) throw { tag: 'not-a-number', val: { row: row + 1, text: rows[row][place] } };
  return number;
}

export const table = {
  columns(csv) {
    const { names, rows } = parse(csv);
    const described = [];
    for (const [place, name] of names.entries()) {
      const numbers = rows.map((row) => row[place]).filter((cell) => cell !== '').map(toNumber);
      if (numbers.length === 0 || numbers.includes(undefined)) continue;
      described.push({ name, summary: withSample(numbers, (sample) => sample.summary()) });
    }
    return described;
  },

  groups(csv, number, group) {
    const { names, rows } = parse(csv);
    const [numberPlace, groupPlace] = [placeOf(names, number), placeOf(names, group)];
    const numbers = new Map();
    for (let row = 0; row < rows.length; row += 1) {
      const name = rows[row][groupPlace];
      if (name === '' || rows[row][numberPlace] === '') continue;
      if (!numbers.has(name)) numbers.set(name, []);
      numbers.get(name).push(numberIn(rows, row, numberPlace));
    }
    if (numbers.size === 0) throw { tag: 'empty' };
    if (numbers.size > NAMES_MAX) throw { tag: 'too-wide', val: NAMES_MAX };
    const samples = [...numbers.values()].map(sampleOf);
    const groups = [...numbers.keys()].map((name, index) => ({ name, summary: samples[index].summary() }));
    // The samples are given away: the numbers go into the new one without coming back here.
    const whole = Sample.join(samples);
    try {
      return { groups, whole: whole.summary() };
    } finally {
      whole[Symbol.dispose]();
    }
  },

  relation(csv, x, y) {
    const { names, rows } = parse(csv);
    const places = [placeOf(names, x), placeOf(names, y)];
    const [xs, ys] = [[], []];
    for (let row = 0; row < rows.length; row += 1) {
      if (places.some((place) => rows[row][place] === '')) continue;
      xs.push(numberIn(rows, row, places[0]));
      ys.push(numberIn(rows, row, places[1]));
    }
    // Both are lent for the call, and dropped after it.
    return withSample(xs, (sampleX) => withSample(ys, (sampleY) => Sample.correlation(sampleX, sampleY) ?? null));
  },
};
