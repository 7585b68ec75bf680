"""torch-geometric: graph convolutions, batches of graphs, pooling."""

from __future__ import annotations

import pytest

from .both import check, needs

pytestmark = needs("torch-geometric")
GRAPH = """
r = np.random.RandomState(0)
edges = torch.from_numpy(r.randint(0, 30, (2, 120)))
x = torch.from_numpy(r.standard_normal((30, 8)).astype("float32"))
y = torch.from_numpy(r.randint(0, 3, 30))
"""


@pytest.mark.parametrize("layer", ["GCNConv", "GATConv", "SAGEConv", "GINConv"])
def test_classify_nodes(layer, tmp_path):
    made = check(GRAPH + f"""
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
losses = train(lambda: F.cross_entropy(net(), y), net.parameters(), lr=1e-2)
report(losses=losses, out=net().flatten().tolist())
""", tmp_path, tolerance=1e-3)
    assert made["losses"][2] < made["losses"][0]


def test_batches_of_graphs(tmp_path):
    check(GRAPH + """
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader
from torch_geometric.nn import global_max_pool, global_mean_pool
from torch_geometric.utils import add_self_loops, degree, to_dense_adj
graph = Data(x=x, edge_index=edges, y=y)
found = []
for batch in DataLoader([graph, graph, graph], batch_size=2):
    found.append([str(batch), global_mean_pool(batch.x, batch.batch).tolist(),
                  global_max_pool(batch.x, batch.batch).tolist()])
report(found=found, degree=degree(edges[0], 30).tolist(), dense=to_dense_adj(edges)[0].tolist(),
       loops=add_self_loops(edges)[0].tolist())
""", tmp_path)
