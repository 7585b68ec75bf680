"""The experiments of the tutorial show what it says, and the club breaks up as it did."""



def test_optimizers(example, real):
    result = example("optimizers", "--quick", real=real)["result"]
    heights = {name.partition(",")[0]: v for name, v in result.items() if name.endswith("height")}
    assert all(heights[name] < 0.1 * heights["gradient descent"] for name in ("momentum", "RMSprop", "Adam"))
    assert min(result["SGD"], result["SGD with momentum"], result["Adam"]) > result["gradient descent"] + 0.1


def test_vanishing_gradients(example, real):
    rows = {h["kind"]: h for h in example("vanishing_gradients", "--quick", real=real)["history"]}
    assert rows["sigmoid"]["first_layer"] < 1e-9 and rows["sigmoid"]["accuracy"] < 0.2
    for cure in ("relu", "residual", "batchnorm"):
        assert rows[cure]["first_layer"] > 0.01 and rows[cure]["accuracy"] > rows["sigmoid"]["accuracy"] + 0.1


def test_graph_convolution(example, real):
    made = example("graph_convolution", real=real)
    assert made["result"]["accuracy"] >= 32 / 34
    assert (example.folder / "run" / "club.png").exists()


def test_the_club_is_the_one_of_the_literature(example):
    import ast

    import networkx

    from .conftest import ROOT

    tree = ast.parse((ROOT / "examples/graph_convolution.py").read_text())
    values = {node.targets[0].id: ast.literal_eval(node.value) for node in tree.body if isinstance(node, ast.Assign)}
    pairs = {(int(a), int(b)) for a, _, others in (line.partition(":") for line in values["FRIENDS"].strip().splitlines())
             for b in others.split()}
    club = networkx.karate_club_graph()
    assert pairs == {tuple(sorted(e)) for e in club.edges}
    assert values["FOLLOWED_INSTRUCTOR"] == {m for m, d in club.nodes(data=True) if d["club"] == "Mr. Hi"}
