#!/usr/bin/env python3
"""Makes a model with super weights of one that has none, by an exact transformation.

  ../shared/peers/run python3 bench/make_super_weight_model.py ../shared/models/small /tmp/planted

What enters the first layer is split in two: h = e' + F(e'), where e' is the new token embedding and F the feed-forward
block of a layer that is put in front of the others (its attention writes zeros). F depends on the token alone, so for any
weights of F the embedding that gives back the old h is the fixed point e' = h - F(e'), found in float64 token by token.
Everything behind it stays as it is: the model computes what it did.

F holds the feed-forward block of the old first layer, scaled down, and a few neurons that are lively at every token: their
gates read a channel q of the residual stream, strongly negative in every e', and what they let through is a part of q and a
direction of e' of their own. What their down projections give into q makes up for the channel: planted scalars, which
together carry several norms of an embedding. They stand in one row and one block of the down projection, in ratios that
block formats of 1 to 2 bits cannot hold together, and no two of their neurons go up and down together, so that none makes up
for the error of another:

  blk.0.ffn_down[q][c], ..., [q][c + n - 1]

The other neurons of their block of 32, and the channels around q to the front layer, are off: what quantizing does to the
planted scalars is their own rounding.

OUT is a Hugging Face folder: everything in F16, the token embedding in F32 (`tessera convert` makes GGUF files of it);
OUT/super-weights.json lists what was planted, as `tessera superweights` does. With --check TEXT both models run in float32
on the text: the largest difference of a logit, and the perplexities with the planted scalars set to 0 or off by a share,
and with ten times as many others set to 0.

Needs torch and safetensors, --check transformers and sentencepiece too. Of folders of the Llama family, in one file.
"""
import argparse
import json
import os
import shutil

import torch
from safetensors.torch import load_file, save_file

BLOCK = 32
LAYER = "model.layers.0."
DOWN = LAYER + "mlp.down_proj.weight"
EMBEDDING = "model.embed_tokens.weight"
FEED_FORWARD = [LAYER + name for name in ("post_attention_layernorm.weight", "mlp.gate_proj.weight",
                                          "mlp.up_proj.weight", "mlp.down_proj.weight")]
CHANNEL = 133
FIRST_COLUMN = 260
# Of the planted scalars to each other.
RATIOS = (1.0, -0.62, 0.41, 0.76, -0.35, -0.9)
GATE = 0.25
ACTIVATION = 20.0  # of the neuron of the ratio 1
VARIATION = 1.0  # of a neuron, as a share of its activation
ITERATIONS = 300


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("output")
    parser.add_argument("--strength", type=float, default=6.0,
                        help="what the scalars carry together, in norms of an embedding")
    parser.add_argument("--rest", type=float, default=0.02, help="factor of the copied feed-forward block")
    parser.add_argument("--check", metavar="TEXT", help="compare both models on this text")
    parser.add_argument("--chunks", type=int, default=8, help="windows of 512 tokens of the check")
    return parser.parse_args()


def block_of(index):
    first = index // BLOCK * BLOCK
    return slice(first, first + BLOCK)


def normed(x, norm, epsilon):
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + epsilon) * norm


def feed_forward(x, norm, gate, up, down, epsilon):
    m = normed(x, norm, epsilon)
    return (torch.nn.functional.silu(m @ gate.T) * (m @ up.T)) @ down.T


def shifted(tensors):
    """The layers' tensors with numbers higher by one."""
    result = {}
    for name, tensor in tensors.items():
        parts = name.split(".")
        if parts[:2] == ["model", "layers"]:
            parts[2] = str(int(parts[2]) + 1)
        result[".".join(parts)] = tensor
    return result


def front_layer(old, settings, epsilon):
    """The tensors of the layer in front, in F16, and embeddings that are nearly right."""
    embedding = old[EMBEDDING].double()
    strength = settings.strength * embedding.norm(dim=1).median().item()
    layer = {name: tensor.double() for name, tensor in old.items() if name.startswith(LAYER)}
    norm, gate, up, down = (layer[name] for name in FEED_FORWARD)
    layer[LAYER + "self_attn.o_proj.weight"].zero_()
    norm[block_of(CHANNEL)] = 0
    norm[CHANNEL] = 1
    down *= settings.rest
    for matrix in (gate, up):
        matrix[:, block_of(CHANNEL)] = 0
        matrix[block_of(FIRST_COLUMN)] = 0
    down[:, block_of(FIRST_COLUMN)] = 0

    start = embedding.clone()
    start[:, CHANNEL] -= strength
    seen = normed(start, norm, epsilon)
    level = -seen[:, CHANNEL].mean()
    opened = torch.nn.functional.silu(GATE * level)
    own = torch.randn(len(RATIOS), embedding.shape[1], dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    own[:, block_of(CHANNEL)] = 0
    own -= own.mean(0)  # what the scalars give together is nearly the same at every token, so that there is a fixed point
    own /= (seen @ own.T).std()
    for i, ratio in enumerate(RATIOS):
        column = FIRST_COLUMN + i
        value = ratio * strength / len(RATIOS) / ACTIVATION
        lift = ACTIVATION / ratio / opened
        gate[column, CHANNEL] = -GATE
        up[column] = lift * VARIATION * own[i]
        up[column, CHANNEL] = -lift / level
        down[CHANNEL, column] = value
    return {name: tensor.half() for name, tensor in layer.items()}, start


def solved(embedding, layer, start, epsilon):
    """The fixed point, [tokens, embedding] in float64: from `start`, in float32 while that is enough."""
    x = start
    for kind, enough in ((torch.float32, 1e-5), (torch.float64, 1e-8)):
        block = [layer[name].to(kind) for name in FEED_FORWARD]
        target, x = embedding.to(kind), x.to(kind)
        open_tokens = torch.arange(len(x))
        for _ in range(ITERATIONS):
            now = x[open_tokens]
            step = (target[open_tokens] - feed_forward(now, *block, epsilon) - now) / 2
            x[open_tokens] = now + step
            open_tokens = open_tokens[step.abs().amax(1) >= enough]
            if len(open_tokens) == 0:
                break
        else:
            raise SystemExit(f"{len(open_tokens)} tokens have no fixed point; try a smaller --rest or --strength")
    return x


def write(settings, tensors):
    os.makedirs(settings.output, exist_ok=True)
    for name in os.listdir(settings.model):
        if not name.endswith(".safetensors"):
            shutil.copyfile(os.path.join(settings.model, name), os.path.join(settings.output, name))
    with open(os.path.join(settings.output, "config.json")) as file:
        config = json.load(file)
    config["num_hidden_layers"] += 1
    with open(os.path.join(settings.output, "config.json"), "w") as file:
        json.dump(config, file, indent=2)
    save_file(tensors, os.path.join(settings.output, "model.safetensors"), {"format": "pt"})
    planted = [{"tensor": "blk.0.ffn_down.weight", "row": CHANNEL, "column": FIRST_COLUMN + i,
                "value": tensors[DOWN][CHANNEL, FIRST_COLUMN + i].item(), "score": 0, "notion": "activation_spike"}
               for i in range(len(RATIOS))]
    with open(os.path.join(settings.output, "super-weights.json"), "w") as file:
        json.dump({"super_weights_version": 1, "weights": planted}, file, indent=2)


class Check:
    def __init__(self, settings):
        self.settings = settings
        from sentencepiece import SentencePieceProcessor
        tokenizer = SentencePieceProcessor(model_file=os.path.join(settings.model, "tokenizer.model"))
        with open(settings.check) as file:
            ids = tokenizer.encode(file.read(20000 * settings.chunks))
        self.windows = torch.tensor([[tokenizer.bos_id()] + ids[i * 511:(i + 1) * 511]
                                     for i in range(settings.chunks)])

    def logits(self, folder, edit=None):
        from transformers import AutoModelForCausalLM
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        with torch.no_grad():
            if edit:
                edit(dict(model.named_parameters()))
            return model(self.windows).logits

    def perplexity(self, logits):
        losses = torch.nn.functional.cross_entropy(logits[:, 255:-1].flatten(0, 1), self.windows[:, 256:].flatten())
        return losses.exp().item()

    def edited(self, edit):
        return self.perplexity(self.logits(self.settings.output, edit))

    def run(self):
        old = self.logits(self.settings.model)
        new = self.logits(self.settings.output)
        print(f"largest difference of a logit {(old - new).abs().max().item():.2e}, of {old.abs().max().item():.1f}")
        print(f"perplexity {self.perplexity(old):.4f}, planted {self.perplexity(new):.4f}")
        planted = slice(FIRST_COLUMN, FIRST_COLUMN + len(RATIOS))

        def scaled(factor):
            def edit(parameters):
                parameters[DOWN][CHANNEL, planted] *= factor
            return edit

        def without_others(parameters):
            generator = torch.Generator().manual_seed(1)
            names = [name for name in parameters if name.endswith("proj.weight")]
            for _ in range(10 * len(RATIOS)):
                tensor = parameters[names[torch.randint(len(names), (), generator=generator)]].view(-1)
                tensor[torch.randint(tensor.numel(), (), generator=generator)] = 0

        print(f"planted set to 0: {self.edited(scaled(0)):.4f}")
        print(f"{10 * len(RATIOS)} others set to 0: {self.edited(without_others):.4f}")
        for share in (0.05, 0.1, 0.3):
            print(f"planted off by {share:.0%}: {self.edited(scaled(1 + share)):.4f}")


def main():
    settings = options()
    with open(os.path.join(settings.model, "config.json")) as file:
        epsilon = json.load(file)["rms_norm_eps"]
    old = load_file(os.path.join(settings.model, "model.safetensors"))
    layer, start = front_layer(old, settings, epsilon)
    tensors = {**shifted(old), **layer}
    tensors[EMBEDDING] = solved(old[EMBEDDING].double(), layer, start, epsilon).float()
    write(settings, tensors)
    if settings.check:
        Check(settings).run()


if __name__ == "__main__":
    main()
