#!/usr/bin/env python3
"""Makes a model with super weights of one that has none, by an exact transformation.

  ../shared/peers/run python3 bench/make_super_weight_model.py ../shared/models/small /tmp/planted

What enters the first layer is split in two: h = e' + F(e'), where e' is the new token embedding and F the feed-forward
block of a layer that is put in front of the others (its attention writes zeros). F depends on the token alone, so for any
weights of F the embedding that gives back the old h is the fixed point e' = h - F(e'), found in float64 token by token.
Everything behind it stays as it is: the model computes what it did.

F holds the feed-forward block of the old first layer, scaled down, and the planted scalars: neurons that read one channel q
of the residual stream, strongly negative in every e', and whose down projections into q and another channel give back what
the embedding lacks. So a few scalars carry multiples of the norm of the whole embedding:

  down[q][c], down[q][c + 1], down[q][c + 2]   in one block, in a ratio that block formats of 1 to 2 bits cannot hold
  down[p][d]                                   alone in its block

Their columns lie in blocks of 32 whose other neurons are off, as are the channels around q to these neurons: what
quantizing does to the model through the planted scalars is their own rounding.

OUT is a Hugging Face folder: everything in F16, the token embedding in F32 (`tessera convert` makes GGUF files of it);
OUT/super-weights.json lists what was planted. With --check TEXT both models run in float32 on the text: the largest
difference of a logit, and the perplexities with the planted scalars set to 0 and with ten times as many others.

Needs torch and safetensors, --check transformers too. Of folders of the Llama family, in one file.
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
CHANNEL, OTHER_CHANNEL = 133, 300
# Columns of the planted scalars: three neighbours in a block, and one in a block further on.
COLUMNS, OTHER_COLUMN = (260, 261, 262), 901
SHARES = (1.0, -0.62, 0.41)
GATE = 0.25
ITERATIONS = 200


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("output")
    parser.add_argument("--strength", type=float, default=4.0,
                        help="what the scalars give together, in norms of an embedding")
    parser.add_argument("--rest", type=float, default=0.02, help="factor of the copied feed-forward block")
    parser.add_argument("--check", metavar="TEXT", help="compare both models on this text")
    parser.add_argument("--chunks", type=int, default=8, help="windows of 512 tokens of the check")
    return parser.parse_args()


def block_of(index):
    first = index // BLOCK * BLOCK
    return slice(first, first + BLOCK)


def feed_forward(x, norm, gate, up, down, epsilon):
    normed = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + epsilon) * norm
    return (torch.nn.functional.silu(normed @ gate.T) * (normed @ up.T)) @ down.T


def shifted(tensors):
    """The layers' tensors with numbers higher by one."""
    result = {}
    for name, tensor in tensors.items():
        parts = name.split(".")
        if parts[:2] == ["model", "layers"]:
            parts[2] = str(int(parts[2]) + 1)
        result[".".join(parts)] = tensor
    return result


def front_layer(old, embedding, settings):
    """The tensors of the layer in front, in F16, the planted places, and embeddings that are nearly right."""
    size = embedding.norm(dim=1).median().item()
    strength = settings.strength * size
    layer = {LAYER + name.removeprefix(LAYER): tensor.double() for name, tensor in old.items() if name.startswith(LAYER)}
    norm, gate, up, down = (layer[LAYER + name] for name in (
        "post_attention_layernorm.weight", "mlp.gate_proj.weight", "mlp.up_proj.weight", "mlp.down_proj.weight"))
    layer[LAYER + "self_attn.o_proj.weight"].zero_()
    norm[block_of(CHANNEL)] = 0
    norm[CHANNEL] = 1
    down *= settings.rest
    for matrix in (gate, up):
        matrix[:, block_of(CHANNEL)] = 0
    for block in (block_of(COLUMNS[0]), block_of(OTHER_COLUMN)):
        gate[block] = 0
        up[block] = 0
        down[:, block] = 0
    # q is negative; the neurons see root(embedding) times this much of it.
    seen = embedding.shape[1] ** 0.5 * settings.strength / (1 + settings.strength ** 2) ** 0.5
    activation = seen * GATE * torch.nn.functional.silu(torch.tensor(seen * GATE, dtype=torch.float64)).item()
    places = []
    total = sum(abs(share) for share in SHARES)
    for column, row, value in [(c, CHANNEL, s * strength / total / activation) for c, s in zip(COLUMNS, SHARES)] + [
            (OTHER_COLUMN, OTHER_CHANNEL, strength / 2 / activation)]:
        gate[column, CHANNEL] = -GATE
        up[column, CHANNEL] = -GATE if value > 0 else GATE
        down[row, column] = value
        places.append((row, column))
    start = embedding.clone()
    start[:, CHANNEL] -= strength
    start[:, OTHER_CHANNEL] -= strength / 2
    return {name: tensor.half() for name, tensor in layer.items()}, places, start


def solved(embedding, layer, start, epsilon):
    """The fixed point, [tokens, embedding] in float64: from `start`, in float32 while that is enough."""
    x = start
    for kind, enough in ((torch.float32, 1e-4), (torch.float64, 1e-9)):
        block = [layer[LAYER + name].to(kind) for name in (
            "post_attention_layernorm.weight", "mlp.gate_proj.weight", "mlp.up_proj.weight", "mlp.down_proj.weight")]
        target, x, left = embedding.to(kind), x.to(kind), 1.0
        for _ in range(ITERATIONS):
            before, x = x, target - feed_forward(x, *block, epsilon)
            left = (x - before).abs().max().item()
            print(left)
            if left < enough:
                break
        else:
            raise SystemExit(f"no fixed point, still {left:.2e} from it; try a smaller --rest")
    return x


def write(settings, tensors, places):
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
    planted = [{"tensor": "blk.0.ffn_down.weight", "row": row, "column": column,
                "value": tensors[DOWN][row, column].item()} for row, column in places]
    with open(os.path.join(settings.output, "super-weights.json"), "w") as file:
        json.dump({"weights": planted}, file, indent=2)
    print(json.dumps(planted))


class Check:
    def __init__(self, settings):
        from transformers import AutoTokenizer
        tokenizer = AutoTokenizer.from_pretrained(settings.model)
        with open(settings.check) as file:
            ids = tokenizer(file.read()[:20000 * settings.chunks]).input_ids
        self.windows = torch.tensor([[1] + ids[i * 511:(i + 1) * 511] for i in range(settings.chunks)])

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


def check(settings, places):
    run = Check(settings)
    old = run.logits(settings.model)
    new = run.logits(settings.output)
    print(f"largest difference of a logit {(old - new).abs().max().item():.2e}, of {old.abs().max().item():.1f}")
    print(f"perplexity {run.perplexity(old):.4f}, planted {run.perplexity(new):.4f}")

    def without_planted(parameters):
        for row, column in places:
            parameters[DOWN][row, column] = 0

    def without_random(parameters):
        generator = torch.Generator().manual_seed(1)
        names = [name for name in parameters if name.endswith("proj.weight")]
        for _ in range(10 * len(places)):
            tensor = parameters[names[torch.randint(len(names), (), generator=generator)]].view(-1)
            tensor[torch.randint(tensor.numel(), (), generator=generator)] = 0

    print(f"planted set to 0: {run.perplexity(run.logits(settings.output, without_planted)):.4f}")
    print(f"{10 * len(places)} others set to 0: {run.perplexity(run.logits(settings.output, without_random)):.4f}")
    for error in (0.01, 0.05, 0.1, 0.2):
        def rounded(parameters):
            for row, column in places:
                parameters[DOWN][row, column] *= 1 + error
        print(f"planted off by {error:.0%}: {run.perplexity(run.logits(settings.output, rounded)):.4f}")


def main():
    settings = options()
    with open(os.path.join(settings.model, "config.json")) as file:
        epsilon = json.load(file)["rms_norm_eps"]
    old = load_file(os.path.join(settings.model, "model.safetensors"))
    embedding = old[EMBEDDING].double()
    layer, places, start = front_layer(old, embedding, settings)
    tensors = {**shifted(old), **layer}
    tensors[EMBEDDING] = solved(embedding, layer, start, epsilon).float()
    write(settings, tensors, places)
    if settings.check:
        check(settings, places)


if __name__ == "__main__":
    main()
