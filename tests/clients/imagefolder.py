"""imagefolder.py DIR: trains a small classifier, as such scripts are written everywhere: ImageFolder, DataLoader, SGD."""
import sys

import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

torch.manual_seed(0)
data = ImageFolder(sys.argv[1], transforms.Compose([transforms.Resize((16, 16)), transforms.ToTensor()]))
loader = DataLoader(data, batch_size=4, shuffle=True, num_workers=4)
net = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 49, len(data.classes)))
opt = torch.optim.SGD(net.parameters(), lr=0.05)
for epoch in range(2):
    total, seen = 0.0, 0
    for x, y in loader:
        loss = nn.functional.cross_entropy(net(x), y)
        opt.zero_grad()
        loss.backward()
        opt.step()
        total, seen = total + loss.item() * len(y), seen + len(y)
    print("epoch %d: %d images, %d classes, loss %.3f" % (epoch, seen, len(data.classes), total / seen))
