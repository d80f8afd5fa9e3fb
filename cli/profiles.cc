// tessera profiles: the policies of dynamic quantization that come with the program.
#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "artifacts/policy_text.h"
#include "artifacts/quant_config.h"
#include "command.h"

namespace tessera::cli {
namespace {

struct ProfilesOptions {
  std::string name;
  bool json = false;
};

void list(bool json) {
  const auto profiles = built_in_profiles();
  auto rows = nlohmann::json::array();
  for (const auto& profile : profiles) {
    rows.push_back({{"profile", profile.profile}, {"about", profile.about}});
    if (json) continue;
    fmt::print("{:<16} {}{}\n", profile.profile, profile.about,
               profile.profile == kDefaultProfile ? " (the default)" : "");
  }
  if (json) fmt::print("{}\n", rows.dump(2));
}

void show(const QuantPolicy& policy, bool json) {
  if (json) {
    fmt::print("{}\n", to_json(policy).dump(2));
  } else {
    fmt::print("{}", to_yaml(policy));
  }
}

}  // namespace

void add_profiles(CLI::App& program) {
  auto options = std::make_shared<ProfilesOptions>();
  auto* command = program.add_subcommand(
      "profiles", "List the profiles of dynamic quantization, or show what one allows");
  command->add_option("name", options->name, "The profile to show, with all that it extends");
  command->add_flag("--json", options->json, "Print as JSON");
  command->footer("\nExample:\n  tessera profiles compression-max\n");
  command->callback([options] {
    if (options->name.empty()) {
      list(options->json);
    } else {
      show(find_profile(options->name), options->json);
    }
  });
}

}  // namespace tessera::cli
