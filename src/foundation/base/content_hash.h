// 128-bit hashes of content: XXH3-128 (https://github.com/Cyan4973/xxHash/blob/v0.8.1/doc/xxhash_spec.md).
//
// They tell whether two models, texts or results are the same in practice, at the speed of memory. Not for
// adversaries: whoever wants two files with one hash can make them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace tessera {

struct ContentHash {
  std::uint64_t high = 0;
  std::uint64_t low = 0;

  /// 32 hexadecimal digits, most significant first.
  std::string text() const;
  bool operator==(const ContentHash&) const = default;
};

/// XXH3-128 with seed 0.
ContentHash hash_bytes(std::span<const std::byte> bytes);

/// The same of content that comes in pieces.
class ContentHasher {
 public:
  ContentHasher();
  ~ContentHasher();
  ContentHasher(ContentHasher&&) noexcept;
  ContentHasher& operator=(ContentHasher&&) noexcept;

  void add(std::span<const std::byte> bytes);
  /// Adds the length, then the bytes: a sequence of fields is then unambiguous.
  void add_field(std::string_view text);
  /// Of everything added so far; more may follow.
  ContentHash hash() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Hash of the content of a file of any size, on `threads` threads (0: all cores) whose number does not
/// matter to it: XXH3-128 over the file's size (u64) and the XXH3-128 (low, then high half, u64 each) of each
/// 4 MiB piece. `done(bytes)` is told from this thread how many bytes are hashed; what it throws ends the
/// work. Throws BadFileError when the file cannot be read.
ContentHash hash_file(const std::filesystem::path& path, int threads,
                      const std::function<void(std::uint64_t bytes)>& done);

}  // namespace tessera
