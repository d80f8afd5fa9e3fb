#include "artifacts/provenance.h"

namespace tessera {

nlohmann::json to_json(const std::vector<ProvenanceFile>& files, PathForm form) {
  auto list = nlohmann::json::array();
  for (const auto& file : files) {
    const auto path = form == PathForm::name_only ? file.path.filename() : file.path;
    list.push_back(
        {{"purpose", file.purpose}, {"path", path.string()}, {"bytes", file.bytes}, {"xxh128", file.xxh128}});
  }
  return list;
}

}  // namespace tessera
