#!/usr/bin/python3
"""Small random networks of the families that `relearn model import` reads beside DDPM's, in plain PyTorch, with what
they answer: unets.py OUTDIR writes what purify/unet_import_test.c reads (tests/golden).

The definitions are written from the papers (Nichol & Dhariwal 2021; Dhariwal & Nichol 2021) and from the names and
shapes of the published files."""
import json
import math
import os
import sys

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

import parity
import stfile


def embedding(t, dim, shift, cos_first):
    half = dim // 2
    f = t[:, None] * torch.exp(-math.log(10000) * torch.arange(half, dtype=t.dtype) / (half - shift))[None]
    return torch.cat([torch.cos(f), torch.sin(f)] if cos_first else [torch.sin(f), torch.cos(f)], 1)


def resample(x, how):
    return {"same": lambda: x, "down": lambda: F.avg_pool2d(x, 2), "up": lambda: F.interpolate(x, scale_factor=2.0)}[how]()


def attend(q, k, v, heads):
    """q, k, v (N, C, L), a head's channels together."""
    n, c, length = q.shape
    q, k, v = (m.reshape(n * heads, c // heads, length) for m in (q, k, v))
    w = torch.softmax(torch.einsum("bci,bcj->bij", q, k) / math.sqrt(c // heads), dim=2)
    return torch.einsum("bij,bcj->bci", w, v).reshape(n, c, length)


# ---- guided-diffusion ----
class AdmRes(nn.Module):
    def __init__(self, i, o, temb, how="same", scale_shift=True, groups=2):
        super().__init__()
        self.how, self.scale_shift = how, scale_shift
        self.in_layers = nn.Sequential(nn.GroupNorm(groups, i), nn.SiLU(), nn.Conv2d(i, o, 3, padding=1))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(temb, o * (2 if scale_shift else 1)))
        self.out_layers = nn.Sequential(nn.GroupNorm(groups, o), nn.SiLU(), nn.Dropout(0.0), nn.Conv2d(o, o, 3, padding=1))
        self.skip_connection = nn.Conv2d(i, o, 1) if i != o else nn.Identity()

    def forward(self, x, emb):
        h = self.in_layers[2](resample(self.in_layers[1](self.in_layers[0](x)), self.how))
        e = self.emb_layers(emb)[:, :, None, None]
        if self.scale_shift:
            scale, shift = e.chunk(2, dim=1)
            h = self.out_layers[0](h) * (1 + scale) + shift
        else:
            h = self.out_layers[0](h + e)
        return self.skip_connection(resample(x, self.how)) + self.out_layers[3](self.out_layers[1](h))


class AdmAttention(nn.Module):
    def __init__(self, c, heads, groups=2):
        super().__init__()
        self.heads, self.norm = heads, nn.GroupNorm(groups, c)
        self.qkv, self.proj_out = nn.Conv1d(c, 3 * c, 1), nn.Conv1d(c, c, 1)

    def forward(self, x, emb):
        n, c = x.shape[:2]
        qkv = self.qkv(self.norm(x.flatten(2))).reshape(n, self.heads, 3, c // self.heads, -1)
        q, k, v = (qkv[:, :, i].reshape(n, c, -1) for i in range(3))
        return x + self.proj_out(attend(q, k, v, self.heads)).reshape(x.shape)


class AdmResample(nn.Module):
    def __init__(self, c, up):
        super().__init__()
        if up:
            self.conv = nn.Conv2d(c, c, 3, padding=1)
        else:
            self.op = nn.Conv2d(c, c, 3, stride=2, padding=1)

    def forward(self, x, emb):
        return self.op(x) if hasattr(self, "op") else self.conv(F.interpolate(x, scale_factor=2.0))


class Adm(nn.Module):
    def __init__(self, ch, mult, blocks, attn, size, heads_of, learn_variance, resblocks, scale_shift, t_scale=1.0):
        super().__init__()
        temb = 4 * ch
        self.ch, self.t_scale = ch, t_scale
        self.time_embed = nn.Sequential(nn.Linear(ch, temb), nn.SiLU(), nn.Linear(temb, temb))
        res = lambda i, o, how="same": AdmRes(i, o, temb, how, scale_shift)
        self.input_blocks = nn.ModuleList([nn.ModuleList([nn.Conv2d(3, ch, 3, padding=1)])])
        skips, c = [ch], ch
        for level, m in enumerate(mult):
            for _ in range(blocks):
                part = [res(c, ch * m)]
                c = ch * m
                if size >> level in attn:
                    part.append(AdmAttention(c, heads_of(c)))
                self.input_blocks.append(nn.ModuleList(part))
                skips.append(c)
            if level + 1 < len(mult):
                self.input_blocks.append(nn.ModuleList([res(c, c, "down") if resblocks else AdmResample(c, False)]))
                skips.append(c)
        self.middle_block = nn.ModuleList([res(c, c), AdmAttention(c, heads_of(c)), res(c, c)])
        self.output_blocks = nn.ModuleList()
        for level, m in reversed(list(enumerate(mult))):
            for b in range(blocks + 1):
                part = [res(c + skips.pop(), ch * m)]
                c = ch * m
                if size >> level in attn:
                    part.append(AdmAttention(c, heads_of(c)))
                if level and b == blocks:
                    part.append(res(c, c, "up") if resblocks else AdmResample(c, True))
                self.output_blocks.append(nn.ModuleList(part))
        self.out = nn.Sequential(nn.GroupNorm(2, c), nn.SiLU(), nn.Conv2d(c, 6 if learn_variance else 3, 3, padding=1))

    def forward(self, x, t):
        emb = self.time_embed(embedding(t * self.t_scale, self.ch, 0, True))
        hs = [self.input_blocks[0][0](x)]
        for part in self.input_blocks[1:]:
            h = hs[-1]
            for layer in part:
                h = layer(h, emb)
            hs.append(h)
        h = hs[-1]
        for layer in self.middle_block:
            h = layer(h, emb)
        for part in self.output_blocks:
            h = torch.cat([h, hs.pop()], 1)
            for layer in part:
                h = layer(h, emb)
        return self.out(h)[:, :3]


# ---- diffusers ----
class HubRes(nn.Module):
    def __init__(self, i, o, temb, eps, how="same", scale_shift=False, groups=2):
        super().__init__()
        self.how, self.scale_shift = how, scale_shift
        self.norm1, self.norm2 = nn.GroupNorm(groups, i, eps=eps), nn.GroupNorm(groups, o, eps=eps)
        self.conv1, self.conv2 = nn.Conv2d(i, o, 3, padding=1), nn.Conv2d(o, o, 3, padding=1)
        self.time_emb_proj = nn.Linear(temb, o * (2 if scale_shift else 1))
        if i != o:
            self.conv_shortcut = nn.Conv2d(i, o, 1)

    def forward(self, x, emb):
        h = self.conv1(resample(F.silu(self.norm1(x)), self.how))
        e = self.time_emb_proj(F.silu(emb))[:, :, None, None]
        if self.scale_shift:
            scale, shift = e.chunk(2, dim=1)
            h = self.norm2(h) * (1 + scale) + shift
        else:
            h = self.norm2(h + e)
        h, x = self.conv2(F.silu(h)), resample(x, self.how)
        return h + (self.conv_shortcut(x) if hasattr(self, "conv_shortcut") else x)


class HubAttention(nn.Module):
    """old: the names before Attention replaced AttentionBlock."""

    def __init__(self, c, head, eps, old, groups=2):
        super().__init__()
        self.heads = c // head if head else 1
        self.group_norm = nn.GroupNorm(groups, c, eps=eps)
        self.names = ("query", "key", "value", "proj_attn") if old else ("to_q", "to_k", "to_v", "to_out")
        for name in self.names[:3]:
            setattr(self, name, nn.Linear(c, c))
        setattr(self, self.names[3], nn.Linear(c, c) if old else nn.ModuleList([nn.Linear(c, c), nn.Dropout(0.0)]))

    def forward(self, x, emb):
        h = self.group_norm(x).flatten(2).transpose(1, 2)
        q, k, v = (getattr(self, name)(h).transpose(1, 2) for name in self.names[:3])
        last = getattr(self, self.names[3])
        last = last[0] if isinstance(last, nn.ModuleList) else last
        return x + last(attend(q, k, v, self.heads).transpose(1, 2)).transpose(1, 2).reshape(x.shape)


class HubResample(nn.Module):
    def __init__(self, c, up, padding):
        super().__init__()
        self.up, self.padding = up, padding
        self.conv = nn.Conv2d(c, c, 3, padding=1) if up else nn.Conv2d(c, c, 3, stride=2, padding=padding)

    def forward(self, x, emb):
        if self.up:
            return self.conv(F.interpolate(x, scale_factor=2.0))
        return self.conv(x if self.padding else F.pad(x, (0, 1, 0, 1)))


class Hub(nn.Module):
    def __init__(self, c):
        super().__init__()
        widths, blocks, self.c = c["block_out_channels"], c["layers_per_block"], c
        temb, eps, head = 4 * widths[0], c["norm_eps"], c["attention_head_dim"]
        old, resblocks = c.pop("old"), c.get("downsample_type") == "resnet"
        res = lambda i, o, how="same": HubRes(i, o, temb, eps, how, c.get("resnet_time_scale_shift") == "scale_shift")
        self.conv_in = nn.Conv2d(3, widths[0], 3, padding=1)
        self.time_embedding = nn.Module()
        self.time_embedding.linear_1, self.time_embedding.linear_2 = nn.Linear(widths[0], temb), nn.Linear(temb, temb)
        self.down_blocks, self.up_blocks, skips, w = nn.ModuleList(), nn.ModuleList(), [widths[0]], widths[0]
        for level, kind in enumerate(c["down_block_types"]):
            d = nn.Module()
            d.resnets = nn.ModuleList()
            for _ in range(blocks):
                d.resnets.append(res(w, widths[level]))
                w = widths[level]
                skips.append(w)
            if kind.startswith("Attn"):
                d.attentions = nn.ModuleList(HubAttention(w, head, eps, old) for _ in range(blocks))
            if level + 1 < len(widths):
                d.downsamplers = nn.ModuleList([res(w, w, "down") if resblocks else HubResample(w, False, c["downsample_padding"])])
                skips.append(w)
            self.down_blocks.append(d)
        self.mid_block = nn.Module()
        self.mid_block.resnets = nn.ModuleList([res(w, w), res(w, w)])
        self.mid_block.attentions = nn.ModuleList([HubAttention(w, head, eps, old)])
        for level, kind in zip(reversed(range(len(widths))), c["up_block_types"]):
            u = nn.Module()
            u.resnets = nn.ModuleList()
            for _ in range(blocks + 1):
                u.resnets.append(res(w + skips.pop(), widths[level]))
                w = widths[level]
            if kind.startswith("Attn"):
                u.attentions = nn.ModuleList(HubAttention(w, head, eps, old) for _ in range(blocks + 1))
            if level:
                u.upsamplers = nn.ModuleList([res(w, w, "up") if resblocks else HubResample(w, True, 1)])
            self.up_blocks.append(u)
        self.conv_norm_out = nn.GroupNorm(2, w, eps=eps)
        self.conv_out = nn.Conv2d(w, c["out_channels"], 3, padding=1)

    def forward(self, x, t):
        widths, c = self.c["block_out_channels"], self.c
        e = embedding(t, widths[0], c["freq_shift"], c["flip_sin_to_cos"])
        emb = self.time_embedding.linear_2(F.silu(self.time_embedding.linear_1(e)))
        hs = [self.conv_in(x)]
        for d in self.down_blocks:
            for i, block in enumerate(d.resnets):
                h = block(hs[-1], emb)
                hs.append(d.attentions[i](h, emb) if hasattr(d, "attentions") else h)
            if hasattr(d, "downsamplers"):
                hs.append(d.downsamplers[0](hs[-1], emb))
        m = self.mid_block
        h = m.resnets[1](m.attentions[0](m.resnets[0](hs[-1], emb), emb), emb)
        for u in self.up_blocks:
            for i, block in enumerate(u.resnets):
                h = block(torch.cat([h, hs.pop()], 1), emb)
                h = u.attentions[i](h, emb) if hasattr(u, "attentions") else h
            h = u.upsamplers[0](h, emb) if hasattr(u, "upsamplers") else h
        return self.conv_out(F.silu(self.conv_norm_out(h)))[:, :3]


# ---- the files ----
def record(weights_path, answer_path, net):
    net.double()
    parity.randomise(net)
    stfile.write(weights_path, {k: parity.f16(v) for k, v in net.state_dict().items()})
    x, t = parity.halves(2, 3, 8, 8), torch.tensor([3.0, 740.0], dtype=torch.float64)
    with torch.no_grad():
        y = net(x, t)
    stfile.write(answer_path, {"x": parity.f32(parity.nhwc(x)), "t": parity.f32(t), "y": parity.f32(parity.nhwc(y))})


def hub(out, name, scheduler, **how):
    config = {"_class_name": "UNet2DModel", "act_fn": "silu", "in_channels": 3, "out_channels": 3, "sample_size": 8,
              "block_out_channels": [4, 8], "layers_per_block": 1, "norm_num_groups": 2, "center_input_sample": False,
              "down_block_types": ["DownBlock2D", "AttnDownBlock2D"], "up_block_types": ["AttnUpBlock2D", "UpBlock2D"],
              "mid_block_scale_factor": 1, "time_embedding_type": "positional", **how}
    folder = os.path.join(out, name)
    os.makedirs(os.path.join(folder, "unet"), exist_ok=True)
    os.makedirs(os.path.join(folder, "scheduler"), exist_ok=True)
    net = Hub(dict(config))
    config.pop("old")
    record(os.path.join(folder, "unet/diffusion_pytorch_model.safetensors"), os.path.join(out, name + ".answer.safetensors"), net)
    for path, value in (("unet/config.json", config), ("scheduler/scheduler_config.json", scheduler)):
        with open(os.path.join(folder, path), "w") as f:
            json.dump(value, f, indent=1)


def main(out):
    np.random.seed(2)
    put = lambda name, net: record(os.path.join(out, name + ".safetensors"), os.path.join(out, name + ".answer.safetensors"), net)
    put("adm", Adm(4, (1, 2), 2, (4,), 8, lambda c: c // 4, True, True, True))
    put("improved", Adm(4, (1, 2, 2), 1, (4, 2), 8, lambda c: 2, False, False, False, t_scale=1000 / 4000))
    linear = {"_class_name": "DDPMScheduler", "beta_start": 1e-4, "beta_end": 0.02, "beta_schedule": "linear", "num_train_timesteps": 1000}
    hub(out, "hub_ddpm", linear, old=True, attention_head_dim=None, downsample_padding=0, flip_sin_to_cos=False, freq_shift=1, norm_eps=1e-6)
    cosine = {**linear, "beta_schedule": "squaredcos_cap_v2", "prediction_type": "epsilon"}
    hub(out, "hub_new", cosine, old=False, attention_head_dim=4, downsample_padding=1, flip_sin_to_cos=True, freq_shift=0, norm_eps=1e-5,
        downsample_type="resnet", upsample_type="resnet", resnet_time_scale_shift="scale_shift",
        down_block_types=["ResnetDownsampleBlock2D", "AttnDownBlock2D"], up_block_types=["AttnUpBlock2D", "ResnetUpsampleBlock2D"])


if __name__ == "__main__":
    main(sys.argv[1])
