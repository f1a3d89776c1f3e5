"""PyTorch's training step on command, the counterpart of crates/train/examples/bench_step.rs.

The same model (timm's ViT layout: fused qkv, scaled_dot_product_attention, exact GELU, mean over
tokens), eager mode, fused AdamW, clipping by the global norm, as a careful user would write it.
"""

import sys
import time

import torch
from torch import nn
from torch.nn import functional as F


class Block(nn.Module):
    def __init__(self, width, mlp, heads):
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.fc1 = nn.Linear(width, mlp)
        self.fc2 = nn.Linear(mlp, width)

    def forward(self, x):
        batch, tokens, width = x.shape
        qkv = self.qkv(self.norm1(x)).reshape(batch, tokens, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        x = x + self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, tokens, width))
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


class Vit(nn.Module):
    def __init__(self, width, depth, mlp, heads, patch, classes, side):
        super().__init__()
        self.embed = nn.Conv2d(3, width, patch, stride=patch)
        self.positions = nn.Parameter(torch.randn(1, (side // patch) ** 2, width) * width**-0.5)
        self.blocks = nn.Sequential(*(Block(width, mlp, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, classes)

    def forward(self, images):
        x = self.embed(images).flatten(2).transpose(1, 2) + self.positions
        return self.head(self.norm(self.blocks(x)).mean(1))


def start(width, depth, mlp, heads, patch, classes, batch, precision, side=32):
    model = Vit(*map(int, (width, depth, mlp, heads, patch, classes)), side)
    matrices = [p for p in model.parameters() if p.ndim in (2, 4)]
    others = [p for p in model.parameters() if p.ndim not in (2, 4)]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.95), fused=True)
    images = torch.rand(int(batch), 3, side, side) * 2 - 1
    labels = torch.randint(int(classes), (int(batch),))
    bf16 = precision == "bf16"

    def step():
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = F.cross_entropy(model(images).float(), labels)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        return loss

    return step


def main():
    torch.set_num_threads(int(sys.argv[1]))
    torch.set_num_interop_threads(1)
    torch.set_flush_denormal(True)
    step = None
    for line in sys.stdin:
        words = line.split()
        if len(words) > 1:
            step = start(*words)
            print("ready", flush=True)
            continue
        begin = time.perf_counter()
        for _ in range(int(words[0])):
            loss = step()
        last = loss.item()
        print(time.perf_counter() - begin, last, flush=True)


main()
