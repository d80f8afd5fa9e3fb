#!/usr/bin/env python3
"""Makes small random models of every supported family, as Hugging Face folders.

  make_random_models.py TEXT OUT

TEXT is any text to train the vocabularies on. OUT/NAME holds each model; OUT/models.txt lists the names with the
pre-tokenizer of each (- for SentencePiece). The weights depend on fixed seeds only. Needs torch, transformers,
tokenizers and sentencepiece.
"""
import json
import sys
from pathlib import Path

import sentencepiece
import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM, MixtralConfig,
                          MixtralForCausalLM, Qwen2Config, Qwen2ForCausalLM, Qwen2MoeConfig, Qwen2MoeForCausalLM,
                          Qwen3Config, Qwen3ForCausalLM, Qwen3MoeConfig, Qwen3MoeForCausalLM)

VOCABULARY = 336
LLAMA3_SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
                r"|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2_SPLIT = LLAMA3_SPLIT.replace(r"\p{N}{1,3}", r"\p{N}")
TEMPLATE = "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"


def split(pattern):
    return pre_tokenizers.Split(Regex(pattern), "isolated")


def byte_level(words):
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=words)


PRE_TOKENIZERS = {
    "llama-bpe": pre_tokenizers.Sequence([split(LLAMA3_SPLIT), byte_level(False)]),
    "qwen2": pre_tokenizers.Sequence([split(QWEN2_SPLIT), byte_level(False)]),
    "smollm": pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level(True)]),
    "gpt-2": byte_level(True),
}


def write_json(path, value):
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1), encoding="utf-8")


def make_tokenizer(folder, pre_tokenizer, text, beginning, end):
    """A byte-level BPE vocabulary, with special tokens, an ordinary added token and unused ids at its end."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=pre_tokenizer == "llama-bpe"))
    tokenizer.pre_tokenizer = PRE_TOKENIZERS[pre_tokenizer]
    tokenizer.decoder = decoders.ByteLevel()
    if pre_tokenizer == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator([text], trainers.BpeTrainer(vocab_size=VOCABULARY - 16, initial_alphabet=alphabet))
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in (beginning, end)])
    tokenizer.add_tokens([AddedToken("<tool_call>", special=False, normalized=False), AddedToken("<|extra|>", special=False)])
    if pre_tokenizer == "llama-bpe":
        ids = [(beginning, tokenizer.token_to_id(beginning))]
        tokenizer.post_processor = processors.Sequence([
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(single=f"{beginning} $A", pair=f"{beginning} $A {beginning} $B:1",
                                          special_tokens=ids)])
    else:
        tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.save(str(folder / "tokenizer.json"))
    added = {str(token_id): {"content": token.content, "special": token.special, "normalized": token.normalized,
                             "lstrip": False, "rstrip": False, "single_word": False}
             for token_id, token in tokenizer.get_added_tokens_decoder().items()}
    write_json(folder / "tokenizer_config.json", {
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": beginning, "eos_token": end, "pad_token": end,
        "added_tokens_decoder": added, "chat_template": TEMPLATE})
    return tokenizer.token_to_id(beginning), tokenizer.token_to_id(end)


def make_sentencepiece(folder, text_file):
    """A SentencePiece BPE vocabulary with byte fallback, then tokens added in each of the three ways."""
    pieces = VOCABULARY - 12
    sentencepiece.SentencePieceTrainer.train(
        input=str(text_file), model_prefix=str(folder / "tokenizer"), vocab_size=pieces, model_type="bpe",
        byte_fallback=True, character_coverage=0.98, normalization_rule_name="identity",
        user_defined_symbols=["<user>"], minloglevel=2)
    (folder / "tokenizer.vocab").unlink()
    write_json(folder / "added_tokens.json", {"<extra>": pieces + 1, "<more>": pieces})
    (folder / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
    write_json(folder / "tokenizer_config.json", {
        "tokenizer_class": "LlamaTokenizer", "add_bos_token": True, "add_eos_token": False, "add_prefix_space": False,
        "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>",
        "added_tokens_decoder": {str(pieces): {"content": "▁more", "special": False},
                                 str(pieces + 2): {"content": "[INST]", "special": True}}})
    return 1, 2


SIZES = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
             vocab_size=VOCABULARY, max_position_embeddings=1024)
LLAMA3_ROPE = {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0,
               "high_freq_factor": 4.0, "original_max_position_embeddings": 256}

# name: (configuration class, model class, pre-tokenizer, settings, stored type)
MODELS = {
    "llama-3-tied": (LlamaConfig, LlamaForCausalLM, "llama-bpe",
                     dict(rope_parameters=LLAMA3_ROPE, tie_word_embeddings=True, head_dim=16), torch.bfloat16),
    "llama-bias": (LlamaConfig, LlamaForCausalLM, "smollm",
                   dict(attention_bias=True, mlp_bias=True,
                        rope_parameters={"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0}), torch.float32),
    "llama-gpt2": (LlamaConfig, LlamaForCausalLM, "gpt-2", dict(num_key_value_heads=4), torch.float16),
    "mistral": (MistralConfig, MistralForCausalLM, None, dict(sliding_window=512, rms_norm_eps=1e-5), torch.bfloat16),
    "qwen2": (Qwen2Config, Qwen2ForCausalLM, "qwen2",
              dict(tie_word_embeddings=True,
                   rope_parameters={"rope_type": "yarn", "factor": 4.0, "rope_theta": 1000000.0, "beta_fast": 16.0,
                                    "original_max_position_embeddings": 256}), torch.bfloat16),
    "qwen3": (Qwen3Config, Qwen3ForCausalLM, "qwen2",
              dict(head_dim=16, rope_parameters={"rope_type": "default", "rope_theta": 1000000.0}), torch.float16),
    "mixtral": (MixtralConfig, MixtralForCausalLM, None, dict(num_local_experts=4, num_experts_per_tok=2), torch.bfloat16),
    # Eleven experts: their names do not sort as their numbers do.
    "qwen2-moe": (Qwen2MoeConfig, Qwen2MoeForCausalLM, "qwen2",
                  dict(num_experts=11, num_experts_per_tok=3, moe_intermediate_size=16,
                       shared_expert_intermediate_size=24), torch.bfloat16),
    "qwen3-moe": (Qwen3MoeConfig, Qwen3MoeForCausalLM, "qwen2",
                  dict(num_experts=6, num_experts_per_tok=2, moe_intermediate_size=16, norm_topk_prob=True, head_dim=16,
                       rope_parameters={"rope_type": "default", "rope_theta": 1000000.0}), torch.float16),
}

CARD = """---
license: apache-2.0
language:
- en
- "no"
tags:
- test
pipeline_tag: text-generation
base_model: Example-Org/Base-Model-0.5B-v2
datasets:
- Example-Org/texts
---
# A random model
"""


def make_model(name, folder, text_file):
    config_class, model_class, pre_tokenizer, settings, stored_type = MODELS[name]
    folder.mkdir(parents=True)
    if pre_tokenizer is None:
        beginning, end = make_sentencepiece(folder, text_file)
    else:
        special = {"llama-bpe": ("<|begin_of_text|>", "<|end_of_text|>")}.get(pre_tokenizer, ("<|im_start|>", "<|endoftext|>"))
        beginning, end = make_tokenizer(folder, pre_tokenizer, text_file.read_text(encoding="utf-8"), *special)
    config = config_class(**{**SIZES, "bos_token_id": beginning, "eos_token_id": end, **settings})
    torch.manual_seed(len(name))
    model = model_class(config)
    for parameter in model.parameters():  # biases and norms too, which start as zeros and ones
        torch.nn.init.normal_(parameter, std=0.05)
    model.to(stored_type).save_pretrained(folder, max_shard_size="50KB" if name == "qwen2" else "1GB")
    write_json(folder / "generation_config.json", {"bos_token_id": beginning, "eos_token_id": [end, beginning],
                                                   "temperature": 0.6, "top_p": 0.9, "top_k": 20, "repetition_penalty": 1.1})
    if name.startswith("llama-3"):
        (folder / "README.md").write_text(CARD, encoding="utf-8")
    if name == "llama-bias":  # as configurations were written before rope_parameters
        path = folder / "config.json"
        values = json.loads(path.read_text())
        parameters = values.pop("rope_parameters")
        values["rope_theta"] = parameters["rope_theta"]
        values["rope_scaling"] = {"type": "linear", "factor": parameters["factor"]}
        write_json(path, values)


def main():
    text_file, out = Path(sys.argv[1]), Path(sys.argv[2])
    for name in MODELS:
        make_model(name, out / name, text_file)
    (out / "models.txt").write_text("".join(f"{name} {row[2] or '-'}\n" for name, row in MODELS.items()))


main()
