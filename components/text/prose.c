// Work on plain text: the exports of the world `text`. The bindings `text.h` are generated from the WIT.

#include "text.h"

#include <stdio.h>
#include <wctype.h>

#include "fold.h"
#include "utf8.h"

#define EM_DASH 0x2014
#define CURLY_APOSTROPHE 0x2019
#define WIDTH_MAX 1000

// ---- small tools ----

// ASCII is most of all text: it is answered here, before the library's tables are asked.
static bool is_space(uint32_t point) {
  return point < 0x80 ? point == ' ' || (point >= '\t' && point <= '\r') : iswspace((wint_t)point) != 0;
}

static bool is_letter_or_digit(uint32_t point) {
  if (point >= 0x80) return iswalnum((wint_t)point) != 0;
  uint32_t folded = point | 0x20;
  return (folded >= 'a' && folded <= 'z') || (point >= '0' && point <= '9');
}

static uint32_t to_lower(uint32_t point) {
  if (point >= 0x80) return (uint32_t)towlower((wint_t)point);
  return point >= 'A' && point <= 'Z' ? point | 0x20 : point;
}

static bool ends_sentence(uint32_t point) { return point == '.' || point == '!' || point == '?'; }

// A string that is handed to the caller, who frees it.
static text_string_t string_of(buffer_t buffer) {
  if (buffer.len == 0) {
    free(buffer.ptr);
    return (text_string_t){.ptr = NULL, .len = 0};
  }
  return (text_string_t){.ptr = buffer.ptr, .len = buffer.len};
}

// A list of strings that grows.
typedef struct {
  text_string_t *ptr;
  size_t len;
  size_t capacity;
} strings_t;

static void strings_add(strings_t *strings, text_string_t string) {
  if (strings->len == strings->capacity) {
    size_t wanted = strings->capacity * 2 + 8;
    text_string_t *ptr = realloc(strings->ptr, wanted * sizeof *ptr);
    if (ptr == NULL) abort();
    strings->ptr = ptr;
    strings->capacity = wanted;
  }
  strings->ptr[strings->len++] = string;
}

// Tells the shared log what is being done. The import borrows both strings, so nothing is copied.
static void note(const char *what, size_t bytes) {
  char line[40];
  snprintf(line, sizeof line, "%zu bytes of text", bytes);
  text_string_t topic, message;
  text_string_set(&topic, what);
  text_string_set(&message, line);
  demo_logger_log_write(DEMO_LOGGER_LOG_LEVEL_DEBUG, &topic, &message);
}

// ---- counting ----

void exports_demo_text_prose_count(text_string_t *text, exports_demo_text_prose_counts_t *ret) {
  note("count", text->len);
  *ret = (exports_demo_text_prose_counts_t){0};
  bool in_word = false;    // inside a run of characters other than white space
  bool has_letter = false; // since the last end of a sentence
  bool at_end = false;     // the last letters of this word end a sentence
  uint32_t last = '\n';
  reader_t reader = reader_of(text->ptr, text->len);
  while (!reader_at_end(&reader)) {
    uint32_t point = last = reader_take(&reader);
    ret->characters += 1;
    ret->lines += point == '\n';
    if (is_space(point)) {
      ret->sentences += at_end;
      in_word = at_end = false;
      continue;
    }
    ret->words += !in_word;
    in_word = true;
    if (ends_sentence(point) && has_letter) {
      at_end = true;
      has_letter = false;
    } else if (is_letter_or_digit(point)) {
      has_letter = true;
      at_end = false;
    }
  }
  ret->sentences += at_end;
  ret->lines += last != '\n';
  text_string_free(text);
}

// ---- words ----

// Reads the next word: lower-case letters and digits, with what stands between them. False when there is none.
static bool next_word(reader_t *reader, buffer_t *word) {
  size_t kept = 0; // what follows the last letter or digit is dropped
  word->len = 0;
  while (!reader_at_end(reader)) {
    uint32_t point = reader_take(reader);
    if (is_space(point) || point == EM_DASH) {
      if (kept > 0) break;
      word->len = 0;
      continue;
    }
    bool counts = is_letter_or_digit(point);
    if (!counts && kept == 0) continue;
    buffer_point(word, point == CURLY_APOSTROPHE ? '\'' : to_lower(point));
    if (counts) kept = word->len;
  }
  word->len = kept;
  return kept > 0;
}

void exports_demo_text_prose_words(text_string_t *text, text_list_string_t *ret) {
  note("words", text->len);
  strings_t words = {0};
  buffer_t word = {0};
  reader_t reader = reader_of(text->ptr, text->len);
  while (next_word(&reader, &word)) {
    buffer_t copy = {0};
    buffer_bytes(&copy, word.ptr, word.len);
    strings_add(&words, string_of(copy));
  }
  free(word.ptr);
  text_string_free(text);
  ret->ptr = words.ptr;
  ret->len = words.len;
}

// ---- wrapping ----

void exports_demo_text_prose_wrap(text_string_t *text, uint32_t width, text_list_string_t *ret) {
  note("wrap", text->len);
  if (width < 1) width = 1;
  if (width > WIDTH_MAX) width = WIDTH_MAX;
  strings_t lines = {0};
  buffer_t line = {0}, word = {0};
  uint32_t line_width = 0, word_width = 0;
  unsigned newlines = 0; // since the last word
  reader_t reader = reader_of(text->ptr, text->len);
  for (bool more = true; more;) {
    more = !reader_at_end(&reader);
    uint32_t point = more ? reader_take(&reader) : ' ';
    if (!is_space(point)) {
      if (newlines > 1 && (line.len > 0 || lines.len > 0)) { // a new paragraph begins
        strings_add(&lines, string_of(line));
        strings_add(&lines, string_of((buffer_t){0}));
        line = (buffer_t){0};
        line_width = 0;
      }
      newlines = 0;
      buffer_point(&word, point);
      word_width += 1;
      continue;
    }
    newlines += point == '\n';
    if (word.len == 0) continue;
    if (line.len > 0 && line_width + 1 + word_width > width) {
      strings_add(&lines, string_of(line));
      line = (buffer_t){0};
      line_width = 0;
    }
    if (line.len > 0) {
      buffer_point(&line, ' ');
      line_width += 1;
    }
    buffer_bytes(&line, word.ptr, word.len);
    line_width += word_width;
    word.len = 0;
    word_width = 0;
  }
  if (line.len > 0) strings_add(&lines, string_of(line));
  free(word.ptr);
  text_string_free(text);
  ret->ptr = lines.ptr;
  ret->len = lines.len;
}

// ---- slugs ----

// Adds `letters` to a slug, after a `-` where one is due.
static void slug_add(buffer_t *slug, const char *letters, bool *gap) {
  if (*gap && slug->len > 0) buffer_point(slug, '-');
  *gap = false;
  buffer_bytes(slug, letters, strlen(letters));
}

void exports_demo_text_prose_slug(text_string_t *text, text_string_t *ret) {
  note("slug", text->len);
  buffer_t slug = {0};
  bool gap = false;
  reader_t reader = reader_of(text->ptr, text->len);
  while (!reader_at_end(&reader)) {
    uint32_t point = reader_take(&reader);
    const char *folded = fold(point);
    char ascii[2] = {(char)to_lower(point), 0};
    if (point == '\'' || point == CURLY_APOSTROPHE) continue;
    if (point < 0x80 && is_letter_or_digit(point)) {
      slug_add(&slug, ascii, &gap);
    } else if (folded != NULL && folded[0] != '-') {
      slug_add(&slug, folded, &gap);
    } else {
      gap = true;
    }
  }
  text_string_free(text);
  *ret = string_of(slug);
}

// ---- letter case ----

// Joins the words of a text in lower case; a word also begins where an upper-case letter follows a lower-case one.
static buffer_t join_words(reader_t reader, char separator) {
  buffer_t out = {0};
  bool gap = false, was_lower = false;
  while (!reader_at_end(&reader)) {
    uint32_t point = reader_take(&reader);
    if (!is_letter_or_digit(point)) {
      gap = gap || (point != '\'' && point != CURLY_APOSTROPHE);
      was_lower = false;
      continue;
    }
    bool upper = iswupper((wint_t)point);
    if ((gap || (upper && was_lower)) && out.len > 0) buffer_point(&out, (uint32_t)separator);
    gap = false;
    was_lower = !upper;
    buffer_point(&out, to_lower(point));
  }
  return out;
}

// Rewrites letter by letter and keeps all else.
static buffer_t map_letters(reader_t reader, exports_demo_text_prose_letter_case_t to) {
  buffer_t out = {0};
  bool in_word = false;
  while (!reader_at_end(&reader)) {
    uint32_t point = reader_take(&reader);
    bool up = to == EXPORTS_DEMO_TEXT_PROSE_LETTER_CASE_UPPER ||
              (to == EXPORTS_DEMO_TEXT_PROSE_LETTER_CASE_TITLE && !in_word);
    buffer_point(&out, up ? (uint32_t)towupper((wint_t)point) : to_lower(point));
    in_word = is_letter_or_digit(point) || (in_word && (point == '\'' || point == CURLY_APOSTROPHE));
  }
  return out;
}

void exports_demo_text_prose_change_case(text_string_t *text, exports_demo_text_prose_letter_case_t to,
                                         text_string_t *ret) {
  note("change-case", text->len);
  reader_t reader = reader_of(text->ptr, text->len);
  switch (to) {
  case EXPORTS_DEMO_TEXT_PROSE_LETTER_CASE_KEBAB:
    *ret = string_of(join_words(reader, '-'));
    break;
  case EXPORTS_DEMO_TEXT_PROSE_LETTER_CASE_SNAKE:
    *ret = string_of(join_words(reader, '_'));
    break;
  default:
    *ret = string_of(map_letters(reader, to));
  }
  text_string_free(text);
}

// ---- cleaning ----

static bool is_control(uint32_t point) {
  return (point < 0x20 && point != '\n' && point != '\t') || (point >= 0x7F && point < 0xA0);
}

void exports_demo_text_prose_clean(text_string_t *text, exports_demo_text_prose_cleaning_t what, text_string_t *ret) {
  note("clean", text->len);
  bool trim = what & EXPORTS_DEMO_TEXT_PROSE_CLEANING_TRIM;
  bool collapse = what & EXPORTS_DEMO_TEXT_PROSE_CLEANING_COLLAPSE;
  bool printable = what & EXPORTS_DEMO_TEXT_PROSE_CLEANING_PRINTABLE;
  buffer_t out = {0};
  size_t kept = 0; // the length up to the last character that is no white space
  bool in_gap = false;
  reader_t reader = reader_of(text->ptr, text->len);
  while (!reader_at_end(&reader)) {
    uint32_t point = reader_take(&reader);
    if (printable && is_control(point)) continue;
    bool space = is_space(point);
    if (space && trim && out.len == 0) continue;
    if (space && collapse && in_gap) continue;
    in_gap = space;
    buffer_point(&out, space && collapse ? ' ' : point);
    if (!space) kept = out.len;
  }
  if (trim) out.len = kept;
  text_string_free(text);
  *ret = string_of(out);
}
