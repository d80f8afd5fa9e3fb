#!/usr/bin/env python3
"""W8A8 models as the compressed-tensors library makes them and transformers runs them.

  reference_w8a8.py make SOURCE FOLDER [--static TOKENS] [--dtype float16]
  reference_w8a8.py perplexity FOLDER TOKENS
  reference_w8a8.py golden SOURCE FOLDER

`make` quantizes the linears of a Hugging Face folder (lm_head excepted) to int8 with a scale per channel, activations
per token, or per tensor with --static, whose scales are the largest inputs that TOKENS give. Nothing is smoothed.
`perplexity` prints that of the windows in TOKENS, the second half of each scored, in float32 sums. TOKENS is a JSON list
of windows. `golden` makes a folder of testdata/w8a8 from one of testdata/forward (make_golden_forward.py): static scales
from its tokens, and golden.safetensors with transformers' logits of the quantized model. Needs torch, transformers and compressed-tensors.
"""
import argparse
import json
import math
import os
import shutil

import torch
import transformers
from compressed_tensors.compressors import ModelCompressor
from compressed_tensors.quantization import (QuantizationArgs, QuantizationConfig, QuantizationScheme,
                                             apply_quantization_config)
from compressed_tensors.quantization.utils import calculate_qparams
from safetensors.torch import load_file, save_file


def load(folder, dtype):
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()


def windows_of(path):
    with open(path) as file:
        return torch.tensor(json.load(file))


def int8(**more):
    return QuantizationArgs(num_bits=8, type="int", symmetric=True, **more)


def quantized_linears(model):
    return [(name, module) for name, module in model.named_modules() if hasattr(module, "weight_scale")]


def set_input_scales(model, windows):
    """The largest input of every linear, over half of the codes."""
    linears = [module for _, module in quantized_linears(model)]
    largest = dict.fromkeys(linears, 0.0)

    def note(module, inputs):
        largest[module] = max(largest[module], inputs[0].abs().max().item())

    hooks = [module.register_forward_pre_hook(note) for module in linears]
    for module in linears:
        module.quantization_enabled = False
    with torch.no_grad():
        for window in windows:
            model(window[None])
    for hook in hooks:
        hook.remove()
    for module in linears:
        module.input_scale.data.fill_(largest[module] / 127.5)
        module.quantization_enabled = True


def quantize(source, folder, dtype, static_windows):
    """Dynamic where `static_windows` is None."""
    model = load(source, dtype)
    inputs = int8(strategy="token", dynamic=True) if static_windows is None else int8(strategy="tensor")
    scheme = QuantizationScheme(targets=["Linear"], weights=int8(strategy="channel"), input_activations=inputs)
    apply_quantization_config(model, QuantizationConfig(
        config_groups={"group_0": scheme}, ignore=["lm_head"], format="int-quantized", quantization_status="initialized"))
    for _, module in quantized_linears(model):
        scales, _ = calculate_qparams(module.weight.amin(1, keepdim=True), module.weight.amax(1, keepdim=True),
                                      scheme.weights)
        module.weight_scale.data.copy_(scales)
    if static_windows is not None:
        set_input_scales(model, static_windows)
    compressor = ModelCompressor.from_pretrained_model(model, quantization_format="int-quantized")
    compressor.compress_model(model)
    model.save_pretrained(folder)
    compressor.update_config(folder)
    for name in os.listdir(source):
        if not os.path.exists(os.path.join(folder, name)) and not name.endswith((".safetensors", ".index.json")):
            shutil.copy(os.path.join(source, name), folder)


def make(arguments):
    static_windows = windows_of(arguments.static) if arguments.static else None
    quantize(arguments.source, arguments.folder, getattr(torch, arguments.dtype), static_windows)


def golden(arguments):
    figures = load_file(os.path.join(arguments.source, "golden.safetensors"))
    tokens, positions = figures["tokens"].long(), figures["positions"]
    quantize(arguments.source, arguments.folder, "auto", tokens)
    with torch.no_grad():
        logits = load(arguments.folder, torch.float32)(tokens).logits[:, positions.long()]
    save_file({"tokens": figures["tokens"], "positions": positions, "logits": logits.contiguous()},
              os.path.join(arguments.folder, "golden.safetensors"))


def perplexity(arguments):
    model = load(arguments.folder, torch.float32)
    loss = count = 0
    with torch.no_grad():
        for window in windows_of(arguments.tokens):
            half = len(window) // 2
            logits = model(window[None]).logits[0, half:-1].double()
            loss += torch.nn.functional.cross_entropy(logits, window[half + 1:], reduction="sum").item()
            count += len(window) - 1 - half
    print(math.exp(loss / count))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("make")
    command.add_argument("source")
    command.add_argument("folder")
    command.add_argument("--static", metavar="TOKENS")
    command.add_argument("--dtype", default="float16", choices=["float16", "bfloat16", "float32"])
    command.set_defaults(run=make)
    command = commands.add_parser("perplexity")
    command.add_argument("folder")
    command.add_argument("tokens")
    command.set_defaults(run=perplexity)
    command = commands.add_parser("golden")
    command.add_argument("source")
    command.add_argument("folder")
    command.set_defaults(run=golden)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
