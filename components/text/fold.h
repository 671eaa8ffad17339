// How letters outside ASCII are written in a slug.

#ifndef TEXT_FOLD_H
#define TEXT_FOLD_H

#include <stddef.h>
#include <stdint.h>

#define FOLD_FIRST 0xC0
#define FOLD_LAST 0x17F

// Latin-1 and Latin Extended-A, from U+00C0 to U+017F; `-` separates words.
static const char fold_table[FOLD_LAST - FOLD_FIRST + 1][3] = {
    "a", "a", "a", "a", "a", "a", "ae", "c", "e", "e", "e", "e", "i", "i", "i", "i",
    "d", "n", "o", "o", "o", "o", "o", "-", "o", "u", "u", "u", "u", "y", "th", "ss",
    "a", "a", "a", "a", "a", "a", "ae", "c", "e", "e", "e", "e", "i", "i", "i", "i",
    "d", "n", "o", "o", "o", "o", "o", "-", "o", "u", "u", "u", "u", "y", "th", "y",
    "a", "a", "a", "a", "a", "a", "c", "c", "c", "c", "c", "c", "c", "c", "d", "d",
    "d", "d", "e", "e", "e", "e", "e", "e", "e", "e", "e", "e", "g", "g", "g", "g",
    "g", "g", "g", "g", "h", "h", "h", "h", "i", "i", "i", "i", "i", "i", "i", "i",
    "i", "i", "ij", "ij", "j", "j", "k", "k", "k", "l", "l", "l", "l", "l", "l", "l",
    "l", "l", "l", "n", "n", "n", "n", "n", "n", "n", "ng", "ng", "o", "o", "o", "o",
    "o", "o", "oe", "oe", "r", "r", "r", "r", "r", "r", "s", "s", "s", "s", "s", "s",
    "s", "s", "t", "t", "t", "t", "t", "t", "u", "u", "u", "u", "u", "u", "u", "u",
    "u", "u", "u", "u", "w", "w", "y", "y", "y", "z", "z", "z", "z", "z", "z", "s",
};

// Returns how `point` is written in a slug, or NULL where nothing is known of it.
static inline const char *fold(uint32_t point) {
  return point >= FOLD_FIRST && point <= FOLD_LAST ? fold_table[point - FOLD_FIRST] : NULL;
}

#endif
