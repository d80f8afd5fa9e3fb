// Second moments of inputs as files, on request (--keep-hessians): one GGUF file per input.
//
//   FIRST READER.hessian.gguf             of the input of whole tensors, e.g.
//   blk.1.attn_q.weight.hessian.gguf FIRST READER.expert-X.hessian.gguf    of the input of expert X, e.g.
//   blk.1.ffn_down_exps.weight.expert-7... FIRST READER.experts.hessian.gguf     of all experts together,
//   where some take it
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
