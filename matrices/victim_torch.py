#!/usr/bin/env python3
"""A victim of a matrix (see torch.ini, relearn-matrix(5)) that is trained by PyTorch and torchvision alone: ResNet-18 with
CIFAR's stem on DIR/<class>/<image>, SGD with momentum 0.9 and a cosine to 0, crops and flips: the recipe of relearn train's
resnet18, for those who would rather believe PyTorch. Prints its figures as one line of JSON; goes on from --out/state.pt."""
import argparse
import json
import os

import torch
import torchvision

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--data", required=True, help="training images")
parser.add_argument("--test", required=True, help="test images")
parser.add_argument("--out", required=True, help="a folder for what a run needs to go on")
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--epochs", type=int, default=60)
parser.add_argument("--batch", type=int, default=128)
parser.add_argument("--lr", type=float, default=0.1)
args = parser.parse_args()
torch.manual_seed(args.seed)
torch.set_num_threads(args.threads)


def pixels(folder):
    """All images as uint8 (N,3,H,W), and their labels."""
    images = torchvision.datasets.ImageFolder(folder)
    return torch.stack([torchvision.transforms.functional.pil_to_tensor(x) for x, _ in images]), torch.tensor(images.targets)


def normalise(x):
    mean, std = torch.tensor([[0.4914, 0.4822, 0.4465], [0.247, 0.243, 0.261]])[:, :, None, None]
    return (x.float() / 255 - mean) / std


def augment(x):
    """A flip, and a place in the image padded by 4, for each image."""
    size = x.shape[-1]
    padded = torch.nn.functional.pad(x, (4, 4, 4, 4))
    out = torch.empty_like(x)
    place, flip = torch.randint(9, (len(x), 2)).tolist(), (torch.rand(len(x)) < 0.5).tolist()
    for i, (top, left) in enumerate(place):
        one = padded[i, :, top:top + size, left:left + size]
        out[i] = one.flip(-1) if flip[i] else one
    return out


def network(classes):
    net = torchvision.models.ResNet(torchvision.models.resnet.BasicBlock, [2, 2, 2, 2], num_classes=classes)
    net.conv1 = torch.nn.Conv2d(3, 64, 3, padding=1, bias=False)
    net.maxpool = torch.nn.Identity()
    return net


def accuracy(net, x, y):
    net.eval()
    with torch.no_grad():
        right = sum((net(normalise(a)).argmax(1) == b).sum().item() for a, b in zip(x.split(500), y.split(500)))
    return right / len(y)


train_x, train_y = pixels(args.data)
test_x, test_y = pixels(args.test)
net = network(int(train_y.max()) + 1)
optimiser = torch.optim.SGD(net.parameters(), args.lr, momentum=0.9, weight_decay=5e-4)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, args.epochs)
path, first, best = os.path.join(args.out, "state.pt"), 0, 0.0
if os.path.exists(path):
    state = torch.load(path)
    net.load_state_dict(state["net"])
    optimiser.load_state_dict(state["optimiser"])
    schedule.load_state_dict(state["schedule"])
    torch.set_rng_state(state["rng"])
    first, best = state["epoch"], state["best"]
for epoch in range(first, args.epochs):
    net.train()
    for part in torch.randperm(len(train_y)).split(args.batch):
        loss = torch.nn.functional.cross_entropy(net(normalise(augment(train_x[part]))), train_y[part])
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 5)
        optimiser.step()
    schedule.step()
    last = accuracy(net, test_x, test_y)
    best = max(best, last)
    print(f"epoch {epoch + 1}/{args.epochs}: loss {loss.item():.4f}, test accuracy {last:.4f}", flush=True)
    torch.save({"net": net.state_dict(), "optimiser": optimiser.state_dict(), "schedule": schedule.state_dict(),
                "rng": torch.get_rng_state(), "epoch": epoch + 1, "best": best}, path + ".new")
    os.replace(path + ".new", path)
print(json.dumps({"test_accuracy": accuracy(net, test_x, test_y), "best_test_accuracy": best,
                  "train_accuracy": accuracy(net, train_x, train_y)}))
