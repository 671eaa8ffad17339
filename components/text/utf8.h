// UTF-8, one code point at a time, and a buffer that grows.

#ifndef TEXT_UTF8_H
#define TEXT_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

// Bytes that are still to be read.
typedef struct {
  const uint8_t *next;
  const uint8_t *end;
} reader_t;

// Bytes that were written; `ptr` belongs to whoever takes it.
typedef struct {
  uint8_t *ptr;
  size_t len;
  size_t capacity;
} buffer_t;

static inline reader_t reader_of(const uint8_t *ptr, size_t len) {
  return (reader_t){.next = ptr, .end = ptr + len};
}

static inline bool reader_at_end(const reader_t *reader) { return reader->next == reader->end; }

// Reads one code point; there must be one. Strings of the component model are valid UTF-8, so the lengths need no check.
static inline uint32_t reader_take(reader_t *reader) {
  uint8_t first = *reader->next++;
  if (first < 0x80) return first;
  int more = first < 0xE0 ? 1 : first < 0xF0 ? 2 : 3;
  uint32_t point = first & (0x3F >> more);
  while (more-- > 0) point = point << 6 | (*reader->next++ & 0x3F);
  return point;
}

// Makes room for `len` more bytes. Memory that ends is a trap.
static inline void buffer_reserve(buffer_t *buffer, size_t len) {
  if (buffer->capacity - buffer->len >= len) return;
  size_t wanted = (buffer->len + len) * 2;
  uint8_t *ptr = realloc(buffer->ptr, wanted);
  if (ptr == NULL) abort();
  buffer->ptr = ptr;
  buffer->capacity = wanted;
}

static inline void buffer_bytes(buffer_t *buffer, const void *bytes, size_t len) {
  if (len == 0) return;
  buffer_reserve(buffer, len);
  memcpy(buffer->ptr + buffer->len, bytes, len);
  buffer->len += len;
}

static inline void buffer_point(buffer_t *buffer, uint32_t point) {
  uint8_t bytes[4];
  size_t len;
  if (point < 0x80) {
    bytes[0] = (uint8_t)point;
    len = 1;
  } else if (point < 0x800) {
    bytes[0] = (uint8_t)(0xC0 | point >> 6);
    bytes[1] = (uint8_t)(0x80 | (point & 0x3F));
    len = 2;
  } else if (point < 0x10000) {
    bytes[0] = (uint8_t)(0xE0 | point >> 12);
    bytes[1] = (uint8_t)(0x80 | (point >> 6 & 0x3F));
    bytes[2] = (uint8_t)(0x80 | (point & 0x3F));
    len = 3;
  } else {
    bytes[0] = (uint8_t)(0xF0 | point >> 18);
    bytes[1] = (uint8_t)(0x80 | (point >> 12 & 0x3F));
    bytes[2] = (uint8_t)(0x80 | (point >> 6 & 0x3F));
    bytes[3] = (uint8_t)(0x80 | (point & 0x3F));
    len = 4;
  }
  buffer_bytes(buffer, bytes, len);
}

#endif
