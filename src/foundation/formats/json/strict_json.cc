#include "foundation/formats/json/strict_json.h"

#include <fmt/format.h>

#include <iterator>
#include <unordered_set>
#include <vector>

#include "foundation/base/error.h"
#include "foundation/base/printable.h"

namespace tessera {
namespace {

constexpr int kMaxDepth = 64;

/// Walks over the text and says how far the parser has come: its callbacks do not know.
struct TrackedIterator {
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  const char* at;
  const char** furthest;

  reference operator*() const { return *at; }
  TrackedIterator& operator++() {
    *furthest = ++at;
    return *this;
  }
  bool operator==(const TrackedIterator& other) const { return at == other.at; }
};

class StrictParser {
 public:
  StrictParser(std::span<const std::byte> bytes, const std::string& file, std::uint64_t base_offset)
      : begin_(reinterpret_cast<const char*>(bytes.data())),
        end_(begin_ + bytes.size()),
        furthest_(begin_),
        file_(file),
        base_offset_(base_offset) {}

  nlohmann::json parse() {
    const auto check = [this](int depth, nlohmann::json::parse_event_t event, nlohmann::json& value) {
      inspect(depth, event, value);
      return true;
    };
    try {
      return nlohmann::json::parse(TrackedIterator{begin_, &furthest_}, TrackedIterator{end_, &furthest_},
                                   check);
    } catch (const nlohmann::json::exception& error) {
      fail("not valid JSON: " + printable(error.what(), 200));
    }
  }

 private:
  using Event = nlohmann::json::parse_event_t;

  void inspect(int depth, Event event, const nlohmann::json& value) {
    if (depth > kMaxDepth) fail(fmt::format("the JSON is nested deeper than {} levels", kMaxDepth));
    if (event == Event::object_start) keys_.emplace_back();
    if (event == Event::object_end) keys_.pop_back();
    if (event != Event::key) return;
    const auto& key = value.get_ref<const std::string&>();
    if (!keys_.back().insert(key).second)
      fail(fmt::format("the JSON key '{}' occurs twice in one object", printable(key)));
  }

  [[noreturn]] void fail(const std::string& message) const {
    throw BadFileError(
        {.file = file_, .offset = base_offset_ + static_cast<std::uint64_t>(furthest_ - begin_)}, message);
  }

  const char* begin_;
  const char* end_;
  const char* furthest_;
  const std::string& file_;
  std::uint64_t base_offset_;
  std::vector<std::unordered_set<std::string>> keys_;  ///< of the objects that are open
};

}  // namespace

nlohmann::json parse_json(std::span<const std::byte> bytes, const std::string& file,
                          std::uint64_t base_offset) {
  return StrictParser(bytes, file, base_offset).parse();
}

}  // namespace tessera
