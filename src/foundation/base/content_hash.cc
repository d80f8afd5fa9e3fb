#include "foundation/base/content_hash.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <new>
#include <vector>

#include "foundation/base/mapped_file.h"
#include "foundation/base/parallel.h"

namespace tessera {
namespace {

constexpr std::uint64_t kPieceBytes = std::uint64_t{4} << 20;
/// Pieces between two reports of what is done.
constexpr std::uint64_t kBatchPieces = 64;

ContentHash content_hash(XXH128_hash_t hash) { return {hash.high64, hash.low64}; }

template <class T>
void add_number(ContentHasher& hasher, T number) {
  hasher.add(std::as_bytes(std::span(&number, 1)));
}

}  // namespace

struct ContentHasher::State {
  struct Free {
    void operator()(XXH3_state_t* state) const { XXH3_freeState(state); }
  };
  std::unique_ptr<XXH3_state_t, Free> xxh3{XXH3_createState()};  // the library aligns it as it needs
};

std::string ContentHash::text() const { return fmt::format("{:016x}{:016x}", high, low); }

ContentHash hash_bytes(std::span<const std::byte> bytes) {
  return content_hash(XXH3_128bits(bytes.data(), bytes.size()));
}

ContentHasher::ContentHasher() : state_(std::make_unique<State>()) {
  if (!state_->xxh3) throw std::bad_alloc();
  XXH3_128bits_reset(state_->xxh3.get());
}
ContentHasher::~ContentHasher() = default;
ContentHasher::ContentHasher(ContentHasher&&) noexcept = default;
ContentHasher& ContentHasher::operator=(ContentHasher&&) noexcept = default;

void ContentHasher::add(std::span<const std::byte> bytes) {
  if (!bytes.empty()) XXH3_128bits_update(state_->xxh3.get(), bytes.data(), bytes.size());
}

void ContentHasher::add_field(std::string_view text) {
  add_number(*this, std::uint64_t{text.size()});
  add(std::as_bytes(std::span(text)));
}

ContentHash ContentHasher::hash() const { return content_hash(XXH3_128bits_digest(state_->xxh3.get())); }

ContentHash hash_file(const std::filesystem::path& path, int threads,
                      const std::function<void(std::uint64_t bytes)>& done) {
  const MappedFile file(path);
  const auto bytes = file.bytes();
  ContentHasher whole;
  add_number(whole, std::uint64_t{bytes.size()});
  const std::uint64_t pieces = (bytes.size() + kPieceBytes - 1) / kPieceBytes;
  for (std::uint64_t first = 0; first < pieces; first += kBatchPieces) {
    std::vector<ContentHash> hashes(std::min(kBatchPieces, pieces - first));
    parallel_for(hashes.size(), threads, [&](std::size_t item, int) {
      const std::uint64_t begin = (first + item) * kPieceBytes;
      const auto piece = bytes.subspan(begin, std::min(kPieceBytes, bytes.size() - begin));
      hashes[item] = hash_bytes(piece);
      file.discard(piece);
    });
    for (const auto& hash : hashes) {
      add_number(whole, hash.low);
      add_number(whole, hash.high);
    }
    done(std::min((first + hashes.size()) * kPieceBytes, bytes.size()));
  }
  return whole.hash();
}

}  // namespace tessera
