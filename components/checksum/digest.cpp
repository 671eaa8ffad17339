// Checksums: the exports of the world `checksum`. The bindings `checksum_cpp.h` are generated from the WIT.

#include "checksum_cpp.h"

#include <string>
#include <string_view>
#include <vector>

#include "hash.h"

namespace exports::demo::checksum::digest {
namespace {

// Writes bytes as lower-case hexadecimal digits.
std::string to_hex(hash::Bytes bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string hex;
  hex.reserve(bytes.size() * 2);
  for (uint8_t byte : bytes) {
    hex += kDigits[byte >> 4];
    hex += kDigits[byte & 0xF];
  }
  return hex;
}

std::string to_hex(uint32_t number) {
  const std::array<uint8_t, 4> bytes = {static_cast<uint8_t>(number >> 24), static_cast<uint8_t>(number >> 16),
                                        static_cast<uint8_t>(number >> 8), static_cast<uint8_t>(number)};
  return to_hex(hash::Bytes(bytes));
}

std::string hex_of(hash::Bytes bytes, Algorithm algorithm) {
  switch (algorithm) {
  case Algorithm::kCrc32:
    return to_hex(hash::crc32(bytes));
  case Algorithm::kAdler32:
    return to_hex(hash::adler32(bytes));
  case Algorithm::kSha256:
    return to_hex(hash::Bytes(hash::sha256(bytes)));
  }
  __builtin_trap(); // the canonical ABI lets no other value in
}

Checksum checksum_of(hash::Bytes bytes, Algorithm algorithm) {
  return Checksum{algorithm, wit::string::from_view(hex_of(bytes, algorithm)), bytes.size()};
}

bool has(Algorithms set, Algorithms one) { return (set & one) == one; }

// Returns the digits in lower case, or nothing when there is another character among them.
std::string lower_hex(std::string_view text) {
  std::string lower;
  for (char letter : text) {
    if (letter >= 'A' && letter <= 'F') letter = static_cast<char>(letter - 'A' + 'a');
    if (!((letter >= '0' && letter <= '9') || (letter >= 'a' && letter <= 'f'))) return {};
    lower += letter;
  }
  return lower;
}

} // namespace

Checksum Compute(wit::vector<uint8_t> bytes, Algorithm algorithm) {
  return checksum_of(hash::Bytes(bytes.data(), bytes.size()), algorithm);
}

wit::vector<Checksum> ComputeEach(wit::vector<uint8_t> bytes, Algorithms algorithms) {
  const hash::Bytes view(bytes.data(), bytes.size());
  std::vector<Algorithm> wanted;
  if (has(algorithms, Algorithms::kCrc32)) wanted.push_back(Algorithm::kCrc32);
  if (has(algorithms, Algorithms::kAdler32)) wanted.push_back(Algorithm::kAdler32);
  if (has(algorithms, Algorithms::kSha256)) wanted.push_back(Algorithm::kSha256);
  auto checksums = wit::vector<Checksum>::allocate(wanted.size());
  for (size_t i = 0; i < wanted.size(); ++i) checksums.initialize(i, checksum_of(view, wanted[i]));
  return checksums;
}

Checksum OfText(wit::string text, Algorithm algorithm) {
  const std::string_view view = text.get_view();
  return checksum_of(hash::Bytes(reinterpret_cast<const uint8_t *>(view.data()), view.size()), algorithm);
}

std::expected<void, VerifyError> Verify(wit::vector<uint8_t> bytes, Algorithm algorithm, wit::string expected) {
  Checksum actual = Compute(std::move(bytes), algorithm);
  const std::string_view digits = actual.hex.get_view();
  const std::string wanted = lower_hex(expected.get_view());
  if (wanted.size() != digits.size()) {
    return std::unexpected(VerifyError{VerifyError::Malformed{static_cast<uint32_t>(digits.size())}});
  }
  if (wanted != digits) return std::unexpected(VerifyError{VerifyError::Mismatch{std::move(actual)}});
  return {};
}

} // namespace exports::demo::checksum::digest
