#!/usr/bin/python3
"""PyTorch's side of bench_cell: what bench_nn.py measures, and the images of each step with it.

    bench_cell.py ROW [THREADS]      ROW: "NETWORK cell bBATCH f32|bf16"

The images are bytes in memory. A batch is cropped and mirrored as a whole, which is faster than image by image in workers
(torchvision's transforms); gradients are clipped and the loss is read, as in bench_cell.c.
"""
import torch
import torch.nn.functional as F

import bench_nn

IMAGES, SIDE, PAD, CLASSES = 520, 32, 4, 10


class Cell:
    """One form of a row: what is called is a training step with its batch."""

    def __init__(self, row, layout, bf16):
        network, _, batch, _ = row.split()
        self.batch, self.autocast = int(batch[1:]), bf16 == "autocast"
        self.layout = bench_nn.FORMATS[layout]
        torch.manual_seed(1)
        self.net = bench_nn.NETWORKS[network]().to(memory_format=self.layout).train()
        self.images = torch.randint(0, 256, (IMAGES, 3, SIDE, SIDE), dtype=torch.uint8)
        self.images = F.pad(self.images, (PAD,) * 4)
        self.labels = torch.arange(IMAGES) % CLASSES
        self.optimizer = torch.optim.SGD(self.net.parameters(), lr=1e-4, momentum=0.9, weight_decay=5e-4)
        self.order, self.at = torch.randperm(IMAGES), 0

    def load(self):
        if self.at + self.batch > IMAGES:
            self.order, self.at = torch.randperm(IMAGES), 0
        which = self.order[self.at:self.at + self.batch]
        self.at += self.batch
        n, line = len(which), torch.arange(SIDE)
        y = torch.randint(0, 2 * PAD + 1, (n, 1)) + line
        x = torch.randint(0, 2 * PAD + 1, (n, 1)) + line
        x = torch.where(torch.rand(n, 1) < 0.5, x.flip(1), x)
        cropped = self.images[which[:, None, None], :, y[:, :, None], x[:, None, :]]  # (N,H,W,C)
        images = cropped.permute(0, 3, 1, 2).float().div_(255)
        return images.contiguous(memory_format=self.layout), self.labels[which]

    def __call__(self):
        images, labels = self.load()
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.autocast):
            logits = self.net(images)
        loss = F.cross_entropy(logits.float(), labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 5)
        self.optimizer.step()
        loss.item()


if __name__ == "__main__":
    bench_nn.Step = Cell
    bench_nn.main()
