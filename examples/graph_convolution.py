"""Who belongs together: a graph convolution on Zachary's karate club, with one known member of each group.

    rushlight examples graph_convolution
"""

import common
import torch
from torch import nn
from torch.nn import functional as F

# A club's 34 members, and who met outside of it (Zachary, 1977). It broke up: some followed the instructor (0), some the
# president (33). Each line: a member, and those of higher number that he or she met.
FRIENDS = """
0: 1 2 3 4 5 6 7 8 10 11 12 13 17 19 21 31
1: 2 3 7 13 17 19 21 30
2: 3 7 8 9 13 27 28 32
3: 7 12 13
4: 6 10
5: 6 10 16
6: 16
8: 30 32 33
9: 33
13: 33
14: 32 33
15: 32 33
18: 32 33
19: 33
20: 32 33
22: 32 33
23: 25 27 29 32 33
24: 25 27 31
25: 31
26: 29 33
27: 33
28: 31 33
29: 32 33
30: 32 33
31: 32 33
32: 33
"""
FOLLOWED_INSTRUCTOR = {0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 16, 17, 19, 21}
MEMBERS = 34


def karate_club():
    """(edges (2, 78), group of each member (34,))."""
    pairs = []
    for line in FRIENDS.strip().splitlines():
        member, others = line.split(":")
        pairs += [(int(member), int(other)) for other in others.split()]
    groups = [0 if m in FOLLOWED_INSTRUCTOR else 1 for m in range(MEMBERS)]
    return torch.tensor(pairs).T, torch.tensor(groups)


def neighbourhood(edges, count):
    """D^-1/2 (A + I) D^-1/2, sparse: what a member takes from each neighbour, and from itself."""
    loops = torch.arange(count).expand(2, -1)
    places = torch.cat([edges, edges.flip(0), loops], dim=1)
    degree = torch.zeros(count).index_add(0, places[0], torch.ones(places.shape[1]))
    values = (degree[places[0]] * degree[places[1]]).rsqrt()
    return torch.sparse_coo_tensor(places, values, (count, count), check_invariants=False).coalesce()


class GCN(nn.Module):
    """Twice: a linear layer for each member, then a mean over neighbours (Kipf and Welling, 2016)."""

    def __init__(self, features, hidden=8, classes=2):
        super().__init__()
        self.first, self.second = nn.Linear(features, hidden), nn.Linear(hidden, classes)

    def forward(self, x, around):
        hidden = torch.tanh(torch.sparse.mm(around, self.first(x)))
        return torch.sparse.mm(around, self.second(hidden)), hidden


def paint(path, edges, groups, scores, hidden):
    """The club as a graph; and each member at the place where the network's hidden numbers put it."""
    figure = common.plots.new_figure(10, 4.6)
    flat = hidden - hidden.mean(0)
    _, _, axes = torch.linalg.svd(flat, full_matrices=False)
    learned = (flat @ axes[:2].T).numpy()
    for ax, places, title in zip(figure.subplots(1, 2), (spring_layout(edges), learned), ("friends", "hidden layer")):
        for a, b in edges.T.tolist():
            ax.plot(*zip(places[a], places[b]), color="0.8", linewidth=0.8, zorder=1)
        ax.scatter(*zip(*places), s=220, c=scores.softmax(1)[:, 1].numpy(), cmap="coolwarm", vmin=0, vmax=1, zorder=2,
                   edgecolors=["black" if g else "white" for g in groups.tolist()])
        for member, (x, y) in enumerate(places):
            ax.text(x, y, member, ha="center", va="center", fontsize=7, zorder=3)
        ax.set_title(title)
        ax.axis("off")
    common.plots.save_figure(figure, path)


def spring_layout(edges, steps=400):
    """Places in the plane: friends attract each other, all repel each other. Found by gradient descent, like anything else."""
    places = torch.randn(MEMBERS, 2, generator=torch.Generator().manual_seed(1)).requires_grad_()
    optimizer = torch.optim.Adam([places], lr=0.05)
    for _ in range(steps):
        optimizer.zero_grad()
        apart = (places[:, None] - places[None]).square().sum(2)
        energy = (places[edges[0]] - places[edges[1]]).square().sum() + (1 / (apart + 0.1)).sum()
        energy.backward()
        optimizer.step()
    return places.detach().numpy()


def main():
    p = common.parser(__doc__, "graph_convolution", device=False)
    p.add_argument("--epochs", type=int, default=200)
    p.add_argument("--lr", type=float, default=0.02)
    args = common.arguments(p)

    edges, groups = karate_club()
    around, features = neighbourhood(edges, MEMBERS), torch.eye(MEMBERS)  # of a member, only who it is is known
    known = torch.tensor([0, MEMBERS - 1])  # the instructor and the president
    torch.manual_seed(args.seed)
    model = GCN(MEMBERS)
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr, weight_decay=5e-4)

    run = common.Run(args)
    for epoch in range(run.resume(args, model=model, optimizer=optimizer), args.epochs):
        optimizer.zero_grad()
        scores, _ = model(features, around)
        loss = F.cross_entropy(scores[known], groups[known])
        loss.backward()
        optimizer.step()
        if (epoch + 1) % 20 == 0:
            right = (scores.argmax(1) == groups).sum().item()
            run.log(epoch=epoch + 1, loss=loss.item(), right=right)
            run.save(epoch + 1)

    with torch.no_grad():
        scores, hidden = model(features, around)
    wrong = (scores.argmax(1) != groups).nonzero().flatten().tolist()
    run.result(accuracy=1 - len(wrong) / MEMBERS)
    print(f"{MEMBERS - len(wrong)} of {MEMBERS} members are in the group that they joined; the others: {wrong}")
    common.draw(paint, run.out / "club.png", edges, groups, scores, hidden)


if __name__ == "__main__":
    main()
