"""The networks of purify/ written again with PyTorch, from the papers and from the parameter names of the published
checkpoints, and reading them from weights files."""
import math

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

import stfile


class Block(nn.Module):
    def __init__(self, i, o, temb, groups):
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, i, eps=1e-6)
        self.conv1 = nn.Conv2d(i, o, 3, padding=1)
        self.temb_proj = nn.Linear(temb, o)
        self.norm2 = nn.GroupNorm(groups, o, eps=1e-6)
        self.conv2 = nn.Conv2d(o, o, 3, padding=1)
        if i != o:
            self.nin_shortcut = nn.Conv2d(i, o, 1)

    def forward(self, x, temb):
        h = self.conv1(F.silu(self.norm1(x))) + self.temb_proj(F.silu(temb))[:, :, None, None]
        h = self.conv2(F.silu(self.norm2(h)))
        return (self.nin_shortcut(x) if hasattr(self, "nin_shortcut") else x) + h


class Attn(nn.Module):
    def __init__(self, c, groups):
        super().__init__()
        self.norm = nn.GroupNorm(groups, c, eps=1e-6)
        self.q, self.k, self.v, self.proj_out = (nn.Conv2d(c, c, 1) for _ in range(4))

    def forward(self, x):
        h = self.norm(x)
        q, k, v = (m(h).flatten(2) for m in (self.q, self.k, self.v))
        w = torch.softmax(torch.einsum("ncq,nck->nqk", q, k) / math.sqrt(x.shape[1]), dim=2)
        return x + self.proj_out(torch.einsum("nqk,nck->ncq", w, v).reshape(x.shape))


class Resample(nn.Module):
    def __init__(self, c, up):
        super().__init__()
        self.up = up
        self.conv = nn.Conv2d(c, c, 3, padding=1) if up else nn.Conv2d(c, c, 3, stride=2)

    def forward(self, x):
        return self.conv(F.interpolate(x, scale_factor=2.0) if self.up else F.pad(x, (0, 1, 0, 1)))


class UNet(nn.Module):
    def __init__(self, ch, mult, blocks, attn, size, groups, image=3, mid_attn=True):
        super().__init__()
        self.ch, self.blocks, self.levels, t = ch, blocks, len(mult), 4 * ch
        self.temb = nn.Module()
        self.temb.dense = nn.ModuleList([nn.Linear(ch, t), nn.Linear(t, t)])
        self.conv_in = nn.Conv2d(image, ch, 3, padding=1)
        self.down, self.up, skips, c = nn.ModuleList(), nn.ModuleList(), [ch], ch
        for level, m in enumerate(mult):
            d = nn.Module()
            d.block, d.attn = nn.ModuleList(), nn.ModuleList()
            for _ in range(blocks):
                d.block.append(Block(c, ch * m, t, groups))
                c = ch * m
                if size >> level in attn:
                    d.attn.append(Attn(c, groups))
                skips.append(c)
            if level + 1 < len(mult):
                d.downsample = Resample(c, False)
                skips.append(c)
            self.down.append(d)
        self.mid = nn.Module()
        self.mid.block_1 = Block(c, c, t, groups)
        self.mid.attn_1 = Attn(c, groups) if mid_attn else nn.Identity()
        self.mid.block_2 = Block(c, c, t, groups)
        ups = []
        for level, m in reversed(list(enumerate(mult))):
            u = nn.Module()
            u.block, u.attn = nn.ModuleList(), nn.ModuleList()
            for _ in range(blocks + 1):
                u.block.append(Block(c + skips.pop(), ch * m, t, groups))
                c = ch * m
                if size >> level in attn:
                    u.attn.append(Attn(c, groups))
            if level > 0:
                u.upsample = Resample(c, True)
            ups.insert(0, u)
        self.up.extend(ups)
        self.norm_out = nn.GroupNorm(groups, c, eps=1e-6)
        self.conv_out = nn.Conv2d(c, image, 3, padding=1)

    def forward(self, x, t):
        half = self.ch // 2
        f = t[:, None] * torch.exp(torch.arange(half) * (-math.log(10000) / (half - 1)))[None]
        temb = torch.cat([torch.sin(f), torch.cos(f)], 1)
        temb = self.temb.dense[1](F.silu(self.temb.dense[0](temb)))
        hs = [self.conv_in(x)]
        for d in self.down:
            for b in range(self.blocks):
                h = d.block[b](hs[-1], temb)
                hs.append(d.attn[b](h) if len(d.attn) else h)
            if hasattr(d, "downsample"):
                hs.append(d.downsample(hs[-1]))
        h = self.mid.block_2(self.mid.attn_1(self.mid.block_1(hs[-1], temb)), temb)
        for u in reversed(self.up):
            for b in range(self.blocks + 1):
                h = u.block[b](torch.cat([h, hs.pop()], 1), temb)
                h = u.attn[b](h) if len(u.attn) else h
            h = u.upsample(h) if hasattr(u, "upsample") else h
        return self.conv_out(F.silu(self.norm_out(h)))


class Percept(nn.Module):
    def __init__(self, widths, classes, image=3):
        super().__init__()
        self.stage, self.lin, c = nn.ModuleList(), nn.ModuleList(), image
        for w in widths:
            s = nn.Module()
            s.conv1, s.conv2 = nn.Conv2d(c, w, 3, padding=1), nn.Conv2d(w, w, 3, padding=1)
            self.stage.append(s)
            lin = nn.Module()
            lin.register_buffer("weight", torch.ones(w))
            self.lin.append(lin)
            c = w
        self.head = nn.Linear(c, classes)

    def features(self, x):
        out = []
        for s in self.stage:
            x = F.max_pool2d(x, 2) if out else x
            x = F.relu(s.conv2(F.relu(s.conv1(x))))
            out.append(x)
        return out

    def logits(self, x):
        return self.head(self.features(x)[-1].mean((2, 3)))

    def distance(self, a, b):
        d = 0
        for fa, fb, lin in zip(self.features(a), self.features(b), self.lin):
            # vector_norm's gradient at 0 is 0, that of a written-out root is not a number
            ua, ub = (f / (torch.linalg.vector_norm(f, dim=1, keepdim=True) + 1e-10) for f in (fa, fb))
            d = d + ((ua - ub) ** 2 * lin.weight[:, None, None]).mean((1, 2, 3))
        return d


# ---- weights files ----
def load(path):
    """-> (network, metadata)"""
    tensors, meta = stfile.read(path)
    numbers = lambda key: [int(v) for v in meta[key].split(",") if v]
    if meta["architecture"] == "percept-vgg":
        net = Percept(numbers("width"), int(meta["classes"]), int(meta["in_channels"]))
    else:
        ch, blocks, size, groups, image, mid = (
            int(meta[k]) for k in ("ch", "res_blocks", "size", "groups", "in_channels", "mid_attn"))
        net = UNet(ch, numbers("ch_mult"), blocks, numbers("attn"), size, groups, image, bool(mid))
    kinds = {"F32": "<f4", "F16": "<f2"}
    net.load_state_dict({name: torch.from_numpy(np.frombuffer(data, kinds[kind]).astype("f4").reshape(shape))
                         for name, (kind, shape, data) in tensors.items()})
    return net.eval().requires_grad_(False), meta
