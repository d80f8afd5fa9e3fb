// Which pre-tokenizer a byte-level BPE tokenizer has, under llama.cpp's name for it (tokenizer.ggml.pre).
//
// The pre-tokenizer cuts text into words before the merges apply. tokenizer.json describes it as a sequence
// of steps; llama.cpp knows a fixed set by name. The names are told here from the steps, by a table: what is
// not in the table is refused, because a wrong name gives a model that runs and answers a little worse, which
// nobody notices.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "foundation/formats/json/json_object.h"

namespace tessera::model {

/// The name for the "pre_tokenizer" of this tokenizer.json. Throws BadFileError, naming the steps found and
/// the option that sets the name by hand, when they are not in the table.
std::string pre_tokenizer_name(const json::JsonObject& tokenizer);

/// Every name that can be told.
std::vector<std::string_view> told_pre_tokenizer_names();

/// The inverse: a "pre_tokenizer" with the steps of a byte-level vocabulary whose kind is called `name`,
/// which is one of pre_tokenizer_kind_names(). Steps are those published with the models where the kind can
/// be told, else its expressions one after the other.
json::Value described_pre_tokenizer(std::string_view name);

}  // namespace tessera::model
