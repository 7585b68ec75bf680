"""torch-geometric: graph convolutions, batches of graphs, pooling."""

from __future__ import annotations

import pytest
from compat.programs import needs, same

needs("torch_geometric")
GRAPH = """
r = np.random.RandomState(0)
edges = torch.from_numpy(r.randint(0, 30, (2, 120)))
x = torch.from_numpy(r.standard_normal((30, 8)).astype("float32"))
y = torch.from_numpy(r.randint(0, 3, 30))
"""


@pytest.mark.parametrize("layer", ["GCNConv", "GATConv", "SAGEConv", "GINConv"])
def test_classify_nodes(layer, tmp_path):
    made = same(GRAPH + f"""
import torch.nn.functional as F
from torch_geometric.nn import {layer}

def convolution(n, m):
    return {layer}(torch.nn.Linear(n, m) if {layer == "GINConv"} else n, *[m] * {layer != "GINConv"})

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = convolution(8, 16), convolution(16, 3)

    def forward(self):
        return self.second(F.relu(self.first(x, edges)), edges)

net = Net()
fill(net)
losses = train(net, lambda: F.cross_entropy(net(), y), lr=0.1)
numbers.update(losses=losses, out=net())
""", tmp_path, rtol=1e-3)
    assert made["losses"][2] < made["losses"][0]


def test_batches_of_graphs(tmp_path):
    same(GRAPH + """
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader
from torch_geometric.nn import global_max_pool, global_mean_pool
from torch_geometric.utils import add_self_loops, degree, to_dense_adj
graph = Data(x=x, edge_index=edges, y=y)
texts, means, largest = [], [], []
for batch in DataLoader([graph, graph, graph], batch_size=2):
    texts.append(str(batch))
    means.append(global_mean_pool(batch.x, batch.batch))
    largest.append(global_max_pool(batch.x, batch.batch))
numbers.update(texts=str(texts), means=torch.cat(means), largest=torch.cat(largest),
               degree=degree(edges[0], 30), dense=to_dense_adj(edges), loops=add_self_loops(edges)[0])
""", tmp_path)
