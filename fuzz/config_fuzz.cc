// Configurations, of smoothing too, and plans on arbitrary bytes: refused with BadFileError, or a policy that
// holds what it promises.
#include <algorithm>

#include "artifacts/plan_document.h"
#include "artifacts/quant_config.h"
#include "artifacts/smoothing_config.h"
#include "fuzz_check.h"
#include "model/architecture/smoothing_fold.h"

using namespace tessera;

namespace {

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void check_policy(const QuantPolicy& policy) {
  const auto bits = [](ElementType type) { return info(type).bits_per_weight(); };
  fuzz::check(!policy.candidates.empty());
  fuzz::check(std::ranges::is_sorted(policy.candidates, {}, bits));
  for (const auto& rule : policy.rules) {
    fuzz::check(rule.type || rule.keep || rule.min_bits || rule.max_bits);
    fuzz::check(!(rule.type && rule.keep));
    fuzz::check(rule.place.built_in || rule.place.line > 0);
  }
  const auto limits = limits_of(policy.rules, "blk.1.ffn_down.weight", 4);
  fuzz::check(limits.min_bits <= limits.max_bits);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::read(data, size, [](std::span<const std::byte> bytes) {
    check_policy(parse_quant_config(text_of(bytes), "input").policy);
  });
  fuzz::read(data, size, [](std::span<const std::byte> bytes) {
    const auto config = parse_smoothing_config(text_of(bytes), "input");
    for (const auto fold : model::fold_names()) {
      const auto strength = config.strength_of(fold, 1, 4);
      fuzz::check(strength.alpha >= 0 && strength.alpha <= 1);
    }
  });
  fuzz::read(data, size, [](std::span<const std::byte> bytes) {
    const auto document = parse_plan(text_of(bytes), "input");
    QuantPlan plan;
    for (const auto& tensor : document.tensors) {
      plan.tensors.push_back(
          {.source = {tensor.tensor, tensor.type, {256, 256}}, .place = {}, .target = tensor.type});
    }
    // What is written can be read back; tensors that are never quantized are not written.
    const bool some = to_yaml(plan, {}).find("  # ") != std::string::npos;
    if (some) fuzz::check(!parse_plan(to_yaml(plan, {}), "written").tensors.empty());
  });
  return 0;
}
