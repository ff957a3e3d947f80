#!/usr/bin/python3
"""The larger networks of train/nets/ written again with plain PyTorch, from the papers, with torchvision's names and
the stems for small images that the files there describe; and what they give, for train/nets_torch_test.c.

    nets.py NET OUT.safetensors [--size N] [--batch N] [--seed N]

    in.x, in.labels      the batch; images are (N,H,W,C)
    param.*              parameters and buffers, all of them exact in F16
and for each MODE, eval and train, beginning with these
    MODE.logits, MODE.loss    loss is (N)
    MODE.grad_x               of the mean loss
    MODE.grad.*               the first elements of its gradient with respect to each parameter
    MODE.after.*              running statistics after the pass
Everything is computed in double precision, so that the differences are ours.
"""
import argparse

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

import stfile
from parity import counted, f16, f32, halves, i32, nhwc, randomise

HEAD = 256  # elements of a gradient that are kept


def conv_norm_relu6(i, o, kernel, stride=1, groups=1):
    return nn.Sequential(nn.Conv2d(i, o, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(o),
                         nn.ReLU6())


class Bottleneck(nn.Module):
    def __init__(self, i, width, stride):
        super().__init__()
        o = 4 * width
        self.conv1, self.bn1 = nn.Conv2d(i, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, o, 1, bias=False), nn.BatchNorm2d(o)
        self.downsample = None
        if stride != 1 or i != o:
            self.downsample = nn.Sequential(nn.Conv2d(i, o, 1, stride, bias=False), nn.BatchNorm2d(o))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn3(self.conv3(F.relu(self.bn2(self.conv2(y)))))
        return F.relu(y + (self.downsample(x) if self.downsample else x))


class ResNet50(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.conv1, self.bn1, i = nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), 64
        for s, blocks in enumerate((3, 4, 6, 3)):
            layer = []
            for k in range(blocks):
                layer.append(Bottleneck(i, 64 << s, 2 if s and not k else 1))
                i = 4 * (64 << s)
            setattr(self, f"layer{s + 1}", nn.Sequential(*layer))
        self.fc = nn.Linear(i, classes)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        return self.fc(self.layer4(self.layer3(self.layer2(self.layer1(x)))).mean((2, 3)))


class VGG16(nn.Module):
    def __init__(self, classes):
        super().__init__()
        layers, i = [], 3
        for n, o in (2, 64), (2, 128), (3, 256), (3, 512), (3, 512):
            for _ in range(n):
                layers += [nn.Conv2d(i, o, 3, padding=1), nn.BatchNorm2d(o), nn.ReLU()]
                i = o
            layers.append(nn.MaxPool2d(2, 2, ceil_mode=True))
        self.features, self.classifier = nn.Sequential(*layers), nn.Linear(i, classes)

    def forward(self, x):
        return self.classifier(self.features(x).mean((2, 3)))


class InvertedResidual(nn.Module):
    def __init__(self, i, expand, o, stride):
        super().__init__()
        wide, layers = i * expand, []
        if expand > 1:
            layers.append(conv_norm_relu6(i, wide, 1))
        layers += [conv_norm_relu6(wide, wide, 3, stride, wide), nn.Conv2d(wide, o, 1, bias=False), nn.BatchNorm2d(o)]
        self.conv, self.sums = nn.Sequential(*layers), stride == 1 and i == o

    def forward(self, x):
        return x + self.conv(x) if self.sums else self.conv(x)


class MobileNetV2(nn.Module):
    def __init__(self, classes):
        super().__init__()
        layers, i = [conv_norm_relu6(3, 32, 3)], 32
        for expand, o, n, stride in ((1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1),
                                     (6, 160, 3, 2), (6, 320, 1, 1)):
            for k in range(n):
                layers.append(InvertedResidual(i, expand, o, 1 if k else stride))
                i = o
        layers.append(conv_norm_relu6(i, 1280, 1))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Identity(), nn.Linear(1280, classes))

    def forward(self, x):
        return self.classifier(self.features(x).mean((2, 3)))


class DenseLayer(nn.Module):
    def __init__(self, i):
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(i), nn.Conv2d(i, 128, 1, bias=False)
        self.norm2, self.conv2 = nn.BatchNorm2d(128), nn.Conv2d(128, 32, 3, padding=1, bias=False)

    def forward(self, x):
        return torch.cat([x, self.conv2(F.relu(self.norm2(self.conv1(F.relu(self.norm1(x))))))], 1)


class Transition(nn.Module):
    def __init__(self, i):
        super().__init__()
        self.norm, self.conv = nn.BatchNorm2d(i), nn.Conv2d(i, i // 2, 1, bias=False)

    def forward(self, x):
        return F.avg_pool2d(self.conv(F.relu(self.norm(x))), 2, 2)


class DenseNet121(nn.Module):
    def __init__(self, classes):
        super().__init__()
        f = nn.Sequential()
        f.add_module("conv0", nn.Conv2d(3, 64, 3, padding=1, bias=False))
        f.add_module("norm0", nn.BatchNorm2d(64))
        f.add_module("relu0", nn.ReLU())
        i = 64
        for b, n in enumerate((6, 12, 24, 16), 1):
            block = nn.Sequential()
            for k in range(1, n + 1):
                block.add_module(f"denselayer{k}", DenseLayer(i))
                i += 32
            f.add_module(f"denseblock{b}", block)
            if b < 4:
                f.add_module(f"transition{b}", Transition(i))
                i //= 2
        f.add_module("norm5", nn.BatchNorm2d(i))
        self.features, self.classifier = f, nn.Linear(i, classes)

    def forward(self, x):
        return self.classifier(F.relu(self.features(x)).mean((2, 3)))


class EncoderLayer(nn.Module):
    def __init__(self, c, heads):
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(c, eps=1e-6), nn.LayerNorm(c, eps=1e-6)
        self.self_attention = nn.MultiheadAttention(c, heads, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(c, 4 * c), nn.GELU(), nn.Identity(), nn.Linear(4 * c, c))

    def forward(self, x):
        y = self.ln_1(x)
        x = x + self.self_attention(y, y, y, need_weights=False)[0]
        return x + self.mlp(self.ln_2(x))


class ViT(nn.Module):
    def __init__(self, classes, size, c=192, patch=4, layers=6, heads=3):
        super().__init__()
        self.conv_proj = nn.Conv2d(3, c, patch, patch)
        self.class_token = nn.Parameter(torch.zeros(1, 1, c))
        self.encoder = nn.Module()
        self.encoder.pos_embedding = nn.Parameter(torch.zeros(1, (size // patch) ** 2 + 1, c))
        self.encoder.layers = nn.Sequential()
        for k in range(layers):
            self.encoder.layers.add_module(f"encoder_layer_{k}", EncoderLayer(c, heads))
        self.encoder.ln = nn.LayerNorm(c, eps=1e-6)
        self.heads = nn.Sequential()
        self.heads.add_module("head", nn.Linear(c, classes))

    def forward(self, x):
        x = self.conv_proj(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_token.expand(len(x), -1, -1), x], 1) + self.encoder.pos_embedding
        return self.heads(self.encoder.ln(self.encoder.layers(x))[:, 0])


NETS = {"resnet50": ResNet50, "vgg16": VGG16, "mobilenetv2": MobileNetV2, "densenet121": DenseNet121}


def main():
    a = argparse.ArgumentParser()
    a.add_argument("net")
    a.add_argument("out")
    a.add_argument("--size", type=int, default=16)
    a.add_argument("--batch", type=int, default=4)
    a.add_argument("--seed", type=int, default=1)
    o = a.parse_args()
    np.random.seed(o.seed)
    classes = 5
    net = (ViT(classes, o.size) if o.net == "vit" else NETS[o.net](classes)).double()
    randomise(net)
    x = halves(o.batch, 3, o.size, o.size)
    labels = torch.from_numpy(np.random.randint(0, classes, o.batch))
    out = {"param." + k: f16(v) for k, v in counted(net).items()}
    out["in.x"], out["in.labels"] = f32(nhwc(x)), i32(labels)
    for mode in "eval", "train":
        net.train(mode == "train")
        net.zero_grad()
        v = x.clone().requires_grad_()
        logits = net(v)
        loss = F.cross_entropy(logits, labels, reduction="none")
        loss.mean().backward()
        results = {"logits": logits, "loss": loss, "grad_x": nhwc(v.grad)}
        results.update({"grad." + k: p.grad.reshape(-1)[:HEAD] for k, p in net.named_parameters()})
        results.update({"after." + k: t for k, t in counted(net).items() if "running" in k})
        out.update({f"{mode}.{k}": f32(t) for k, t in results.items()})
    stfile.write(o.out, out, {"net": o.net, "torch": torch.__version__})


if __name__ == "__main__":
    main()
