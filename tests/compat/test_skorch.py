"""skorch: scikit-learn's interface; fit, grid search, pickling, saved parameters."""

from __future__ import annotations

from compat.programs import needs, same

needs("skorch")


def test_fit_search_and_save(tmp_path):
    made = same("""
import pickle
from skorch import NeuralNetClassifier
from sklearn.datasets import make_classification
from sklearn.model_selection import GridSearchCV
X, y = make_classification(300, 20, n_informative=10, random_state=0)
X, y = X.astype(np.float32), y.astype(np.int64)

class Net(torch.nn.Module):
    def __init__(self, hidden=16):
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(20, hidden), torch.nn.ReLU(), torch.nn.Linear(hidden, 2))

    def forward(self, X):
        return self.layers(X).softmax(-1)

torch.manual_seed(0)
net = NeuralNetClassifier(Net, max_epochs=5, lr=0.1, verbose=0)
net.fit(X, y)
losses = net.history[:, "train_loss"]  # gone when the net is initialised again
search = GridSearchCV(
    NeuralNetClassifier(Net, max_epochs=3, verbose=0, train_split=False),
    {"lr": [0.05, 0.1], "module__hidden": [4, 8]}, cv=2, scoring="accuracy", refit=False)
search.fit(X, y)
p = net.predict_proba(X)
copied = pickle.loads(pickle.dumps(net)).predict_proba(X)
net.save_params(f_params="net.pt")
net.initialize()
net.load_params(f_params="net.pt")
numbers.update(losses=losses,
       score=float(net.score(X, y)), best=str(search.best_params_), copied=bool(np.allclose(p, copied)),
       loaded=bool(np.allclose(p, net.predict_proba(X))), p=p[:20].flatten().tolist())
""", tmp_path)
    assert made["copied"] and made["loaded"] and made["score"] > 0.6
