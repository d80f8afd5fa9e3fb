#!/usr/bin/env python3
"""Makes the models and the figures that the forward and backward passes are tested against (testdata/forward).

  make_golden_forward.py TEXT TESTDATA               models and logits
  make_golden_forward.py --gradients TEXT TESTDATA   what backpropagation gives, for the models that are there
                                                     (mixtures of experts have no backward pass to be tested)

--models NAME ... makes these only.

TEXT is any text, of which the demo model gets its windows. TESTDATA/forward/NAME holds a small random model of a family
and of each way to scale RoPE, as a Hugging Face folder with the tokenizer of a model of TESTDATA/convert, and what
PyTorch computes from it in float32 with eager attention. `demo-model` has figures only: its weights are those of
TESTDATA/demo-model. Everything depends on fixed seeds. Needs torch, transformers, safetensors and sentencepiece.

golden.safetensors, with W windows of T = 64 tokens, P positions, V the vocabulary and H the hidden size:

  tokens       I32 [W, T]       what goes in; each window begins with the beginning-of-sequence token
  positions    I32 [P]          at which logits are kept
  logits       F32 [W, P, V]    of the next token
  hidden.L     F32 [T, H]       of the first window, for one model: the residual stream before layer L; for L = the
                                number of layers, what leaves the last one
  hidden.norm  F32 [T, H]       the same after the final norm: the input of the output matrix

gradients.safetensors. The loss of window n is the sum, over positions t = 0 .. T-2, of the negative log-likelihood (nats)
of token t+1. For a linear with weight W [rows, columns], input X [T, columns] and dY [T, rows] the gradient of the loss
with respect to its output, the gradient of the window is g = dY^T X, and

  nll                         F32 [W]                the loss of each window
  gradient.NAME               F32 [columns]          sum over rows of the mean over windows of |g * W|
  fisher.NAME                 F32 [columns]          sum over rows of F, with F[i, j] = the sum over all tokens t of all
                                                     windows of dY[t, i]^2 X[t, j]^2 (a sum: divide by what is meant)
  gradient.full.NAME          F32 [rows, columns]    of the smallest matrices: the mean of |g * W| itself
  fisher.full.NAME            F32 [rows, columns]    F itself
  boundary.L                  F32 [T, H]             for the model that has hidden.L: the gradient of the first window's
                                                     loss with respect to hidden.L

NAME is the tensor's name in GGUF, and rows stand in GGUF's order (those of attn_q and attn_k of a Llama model are
interleaved). `output.weight` stands for the head also where the model has tied embeddings; the token embedding's own
share in a tied matrix is not counted.
"""
import argparse
import shutil
from pathlib import Path

import sentencepiece
import torch
from safetensors.torch import load_file, save_file
from transformers import (AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM,
                          MixtralConfig, MixtralForCausalLM, Qwen2Config, Qwen2ForCausalLM, Qwen2MoeConfig,
                          Qwen2MoeForCausalLM, Qwen3Config, Qwen3ForCausalLM, Qwen3MoeConfig, Qwen3MoeForCausalLM)

WINDOW_TOKENS = 64
WINDOWS = 3
DEMO_WINDOWS = 2
POSITIONS = [*range(0, WINDOW_TOKENS, 4), WINDOW_TOKENS - 1]
DEMO_POSITIONS = [0, 1, 7, 20, 33, 46, 55, 62, 63]
MODEL_WITH_HIDDEN_STATES = "llama-3-rope"
MODELS_WITH_FULL_MATRICES = ["demo-model", "llama-3-rope", "qwen3"]
FULL_MATRICES = ["blk.0.attn_k.weight", "blk.1.attn_v.weight"]

SIZES = dict(hidden_size=48, intermediate_size=80, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
             vocab_size=336, max_position_embeddings=1024, tie_word_embeddings=False)
SENTENCEPIECE = dict(bos_token_id=1, eos_token_id=2)
BYTE_LEVEL = dict(bos_token_id=320, eos_token_id=321)
LLAMA, MISTRAL = (LlamaConfig, LlamaForCausalLM, SENTENCEPIECE), (MistralConfig, MistralForCausalLM, SENTENCEPIECE)
QWEN2, QWEN3 = (Qwen2Config, Qwen2ForCausalLM, BYTE_LEVEL), (Qwen3Config, Qwen3ForCausalLM, BYTE_LEVEL)
MIXTRAL = (MixtralConfig, MixtralForCausalLM, SENTENCEPIECE)
QWEN2_MOE = (Qwen2MoeConfig, Qwen2MoeForCausalLM, BYTE_LEVEL)
QWEN3_MOE = (Qwen3MoeConfig, Qwen3MoeForCausalLM, BYTE_LEVEL)

# name: (family, settings, stored type)
MODELS = {
    "llama-tied": (LLAMA, dict(tie_word_embeddings=True, num_hidden_layers=3, num_attention_heads=6), torch.float16),
    "llama-3-rope": (LLAMA, dict(head_dim=16, num_key_value_heads=1, rope_parameters={
        "rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 256}), torch.bfloat16),
    "llama-linear-rope": (LLAMA, dict(num_key_value_heads=4, rope_parameters={
        "rope_type": "linear", "rope_theta": 10000.0, "factor": 2.5}), torch.float16),
    "llama-yarn": (LLAMA, dict(head_dim=16, rope_parameters={
        "rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "beta_fast": 16.0,
        "original_max_position_embeddings": 256}), torch.float16),
    "llama-bias": (LLAMA, dict(attention_bias=True, mlp_bias=True, hidden_size=32, intermediate_size=48), torch.float32),
    "mistral-window": (MISTRAL, dict(sliding_window=16, rms_norm_eps=1e-5), torch.bfloat16),
    "qwen2": (QWEN2, dict(rope_parameters={"rope_type": "default", "rope_theta": 1000000.0}), torch.float16),
    "qwen2-window": (QWEN2, dict(use_sliding_window=True, sliding_window=24, max_window_layers=1,
                                 tie_word_embeddings=True, num_hidden_layers=3), torch.float16),
    "qwen3": (QWEN3, dict(head_dim=16, rope_parameters={"rope_type": "default", "rope_theta": 1000000.0}),
              torch.float16),
    "mixtral": (MIXTRAL, dict(num_local_experts=4, num_experts_per_tok=2, intermediate_size=64), torch.bfloat16),
    "qwen2-moe": (QWEN2_MOE, dict(num_experts=6, num_experts_per_tok=3, moe_intermediate_size=32, hidden_size=32,
                                  shared_expert_intermediate_size=48), torch.float16),
    "qwen3-moe": (QWEN3_MOE, dict(num_experts=12, num_experts_per_tok=2, moe_intermediate_size=32, norm_topk_prob=True,
                                  head_dim=16, hidden_size=32), torch.float16),
}
MIXTURES = ["mixtral", "qwen2-moe", "qwen3-moe"]

# (Part of a parameter's name, standard deviation times sqrt(columns), mean), the first that fits. Queries and keys are
# large enough for attention to choose, and norms and biases are far from what they start as, so that a mistake anywhere
# shows in the logits; what enters the residual stream is small beside it, as in trained models, or rounding to bf16
# would be amplified far more than it is there.
SPREAD = [("norm.weight", None, 1.0), ("bias", None, 0.0), ("o_proj", 0.5, 0.0), ("down_proj", 0.5, 0.0),
          ("lm_head", 3.0, 0.0), ("embed_tokens", 3.0, 0.0), ("", 1.0, 0.0)]
VECTOR_DEVIATION = 0.3

GGUF_NAMES = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
              "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
              "mlp.down_proj": "ffn_down"}


def fill_randomly(model):
    for name, parameter in model.named_parameters():
        spread, mean = next((row[1], row[2]) for row in SPREAD if row[0] in name)
        deviation = VECTOR_DEVIATION if spread is None else spread / parameter.shape[-1] ** 0.5
        torch.nn.init.normal_(parameter, mean=mean, std=deviation)


def make_model(name, folder, convert):
    (config_class, model_class, special), settings, stored_type = MODELS[name]
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    torch.manual_seed(sum(name.encode()))
    model = model_class(config_class(**{**SIZES, **special, **settings}))
    fill_randomly(model)
    model.to(stored_type).save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)
    (folder / "generation_config.json").unlink(missing_ok=True)
    donor = "mistral" if special is SENTENCEPIECE else "qwen2"
    for file in ("tokenizer.model", "tokenizer.json", "tokenizer_config.json", "added_tokens.json"):
        if (convert / donor / file).exists():
            shutil.copy(convert / donor / file, folder / file)


def load_model(folder):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    return model.eval()


def random_windows(name, config):
    generator = torch.Generator().manual_seed(sum(name.encode()) + 1)
    tokens = torch.randint(0, config.vocab_size, (WINDOWS, WINDOW_TOKENS), generator=generator)
    tokens[:, 0] = config.bos_token_id
    return tokens


def text_windows(folder, text_file, beginning):
    processor = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    length = WINDOW_TOKENS - 1
    ids = processor.encode(text_file.read_text(encoding="utf-8"))[:DEMO_WINDOWS * length]
    return torch.tensor([[beginning, *ids[n * length:(n + 1) * length]] for n in range(DEMO_WINDOWS)])


def make_logits(model, tokens, positions, with_hidden_states):
    with torch.no_grad():
        states = []
        hooks = [layer.register_forward_pre_hook(lambda _, inputs: states.append(inputs[0]))
                 for layer in model.model.layers]
        hooks.append(model.model.norm.register_forward_pre_hook(lambda _, inputs: states.append(inputs[0])))
        hooks.append(model.model.norm.register_forward_hook(lambda _, inputs, output: states.append(output)))
        logits = model(tokens).logits[:, positions]
        for hook in hooks:
            hook.remove()
    golden = {"tokens": tokens.int(), "positions": torch.tensor(positions).int(), "logits": logits.contiguous()}
    if with_hidden_states:
        names = [*(f"hidden.{layer}" for layer in range(len(states) - 1)), "hidden.norm"]
        golden.update({name: state[0].contiguous() for name, state in zip(names, states)})
    return golden


def gguf_name(module_name):
    if module_name == "lm_head":
        return "output.weight"
    _, _, layer, part = module_name.split(".", 3)
    return f"blk.{layer}.{GGUF_NAMES[part]}.weight"


def in_gguf_order(rows, name, config):
    """Rows of a Llama model's queries and keys: both halves of each head interleaved."""
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}.get(name.split(".")[-2])
    if heads is None or config.model_type not in ("llama", "mistral"):
        return rows
    return rows.reshape(heads, 2, -1, rows.shape[1]).transpose(1, 2).reshape(rows.shape)


class Linears:
    """Input and gradient of the output of every linear, as the last backward pass left them."""

    def __init__(self, model):
        self.modules = {name: module for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
        self.inputs, self.output_gradients = {}, {}
        for name, module in self.modules.items():
            module.register_forward_hook(lambda _, inputs, output, name=name: self.watch(name, inputs[0], output))

    def watch(self, name, inputs, output):
        self.inputs[name] = inputs[0].detach().double()
        output.register_hook(lambda gradient: self.output_gradients.update({name: gradient[0].double()}))

    def gradient(self, name):
        return self.output_gradients[name].T @ self.inputs[name]

    def fisher(self, name):
        return self.output_gradients[name].square().T @ self.inputs[name].square()


def window_loss(model, window):
    """The summed loss, with the graph behind it, and the residual stream at the boundaries of the layers."""
    states = []

    def watch(_, inputs):
        inputs[0].retain_grad()
        states.append(inputs[0])

    hooks = [module.register_forward_pre_hook(watch) for module in [*model.model.layers, model.model.norm]]
    logits = model(window[None]).logits[0]
    for hook in hooks:
        hook.remove()
    return torch.nn.functional.cross_entropy(logits[:-1], window[1:], reduction="sum"), states


def check_against_autograd(model, linears):
    """The products must be what autograd puts into .grad."""
    for name, module in linears.modules.items():
        if name == "lm_head" and model.config.tie_word_embeddings:
            continue
        expected = module.weight.grad.double()
        if (linears.gradient(name) - expected).norm() > 1e-5 * expected.norm():
            raise RuntimeError(f"the gradient of {name} is not autograd's")


def make_gradients(model, tokens, full_matrices, with_boundaries):
    linears = Linears(model)
    gradient = {name: 0 for name in linears.modules}
    fisher = {name: 0 for name in linears.modules}
    golden, losses = {}, []
    for window in tokens:
        model.zero_grad()
        loss, states = window_loss(model, window)
        loss.backward()
        losses.append(loss.detach())
        check_against_autograd(model, linears)
        if with_boundaries and not golden:
            golden = {f"boundary.{layer}": state.grad[0].clone() for layer, state in enumerate(states)}
        for name, module in linears.modules.items():
            weights = module.weight.detach().double()
            gradient[name] = gradient[name] + (linears.gradient(name) * weights).abs() / len(tokens)
            fisher[name] = fisher[name] + linears.fisher(name)
    golden["nll"] = torch.stack(losses)
    for kind, values in (("gradient", gradient), ("fisher", fisher)):
        for module_name, matrix in values.items():
            name = gguf_name(module_name)
            golden[f"{kind}.{name}"] = matrix.sum(0).float()
            if name in full_matrices:
                golden[f"{kind}.full.{name}"] = in_gguf_order(matrix, name, model.config).float().contiguous()
    return golden


def save(tensors, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path)
    path.chmod(0o644)
    print(f"{path}: {path.stat().st_size} bytes")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gradients", action="store_true")
    parser.add_argument("--models", nargs="+", default=[*MODELS, "demo-model"])
    parser.add_argument("text", type=Path)
    parser.add_argument("testdata", type=Path)
    arguments = parser.parse_args()
    torch.use_deterministic_algorithms(True)
    for name in arguments.models:
        if arguments.gradients and name in MIXTURES:
            continue
        folder = arguments.testdata / "forward" / name
        is_demo = name == "demo-model"
        model_folder = arguments.testdata / name if is_demo else folder
        if arguments.gradients:
            tokens = load_file(folder / "golden.safetensors")["tokens"].long()
            full = FULL_MATRICES[:1 if is_demo else 2] if name in MODELS_WITH_FULL_MATRICES else []
            golden = make_gradients(load_model(model_folder), tokens, full, name == MODEL_WITH_HIDDEN_STATES)
            save(golden, folder / "gradients.safetensors")
            continue
        if not is_demo:
            make_model(name, folder, arguments.testdata / "convert")
        model = load_model(model_folder)
        if is_demo:
            tokens = text_windows(model_folder, arguments.text, model.config.bos_token_id)
        else:
            tokens = random_windows(name, model.config)
        save(make_logits(model, tokens, DEMO_POSITIONS if is_demo else POSITIONS, name == MODEL_WITH_HIDDEN_STATES),
             folder / "golden.safetensors")


main()
