// The two ends of a generated text: the tokens of a prompt that is to go on, and the tokens that end it.
#pragma once

#include <string_view>
#include <vector>

#include "foundation/formats/gguf/metadata.h"
#include "model/text/tokenizer.h"

namespace tessera::model {

/// BOS where the vocabulary asks for it, then the text, special tokens parsed; never EOS, behind which
/// nothing would follow. Empty for an empty text in a vocabulary without BOS.
std::vector<TokenId> encode_prompt(const Tokenizer& tokenizer, std::string_view text);

/// Tokens behind which a model has no more to say: those that metadata name as the end of a text, a turn or
/// a message (tokenizer.ggml.eos_token_id, eot_token_id, eom_token_id), and those spelled as known families
/// spell such ends. Sorted.
std::vector<TokenId> end_tokens(const Tokenizer& tokenizer, const gguf::Metadata& metadata);

}  // namespace tessera::model
