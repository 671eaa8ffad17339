// The three algorithms, over spans of bytes. No WIT here.

#ifndef CHECKSUM_HASH_H
#define CHECKSUM_HASH_H

#include <array>
#include <cstdint>
#include <span>

namespace hash {

using Bytes = std::span<const uint8_t>;

// CRC-32 with the reflected polynomial 0xEDB88320, as zip and gzip use it.
uint32_t crc32(Bytes bytes);

// Adler-32, as zlib uses it.
uint32_t adler32(Bytes bytes);

// SHA-256 of FIPS 180-4.
std::array<uint8_t, 32> sha256(Bytes bytes);

} // namespace hash

#endif
