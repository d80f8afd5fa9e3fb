// Second moments of inputs as files, on request (--keep-hessians): one GGUF file per input.
//
// Files are named after the first tensor that reads the input: READER.hessian.gguf where whole tensors do,
// such as blk.1.attn_q.weight.hessian.gguf; READER.expert-X.hessian.gguf for the input of expert X of stacked
// ones; READER.experts.hessian.gguf for that of all experts together, where some take it.
//
// Tensors: "hessian" and, where there is one, "drift", F32 [columns, columns]. Metadata: general.type
// "hessian", tessera.hessian.tensors (the readers), tessera.hessian.tokens, and tessera.hessian.experts: the
// experts that were encoded with it, for tensors that stack them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "artifacts/input_moments.h"

namespace tessera::pipeline {

/// What moments are of.
struct HessianPlace {
  std::vector<std::string> readers;         ///< tensors, at least one
  std::vector<std::uint32_t> experts = {};  ///< of them that are encoded with it
  bool is_shared = false;                   ///< by experts with too few tokens for their own
};

/// Writes the file into `folder`, which is made where it is missing. Throws IoError.
void keep_hessian(const std::filesystem::path& folder, const HessianPlace& place,
                  const InputMoments& moments);

}  // namespace tessera::pipeline
