"""gpytorch: an exact Gaussian process; its hyperparameters are fitted, then it predicts."""

from __future__ import annotations

from compat.programs import needs, same

needs("gpytorch")


def test_exact_gp(tmp_path):
    made = same("""
import math
import gpytorch
x = torch.linspace(0, 1, 40)
y = torch.sin(x * 2 * math.pi) + torch.cos(x * 40) * 0.1

class GP(gpytorch.models.ExactGP):
    def __init__(self, x, y, likelihood):
        super().__init__(x, y, likelihood)
        self.mean = gpytorch.means.ConstantMean()
        self.kernel = gpytorch.kernels.ScaleKernel(gpytorch.kernels.RBFKernel())

    def forward(self, x):
        return gpytorch.distributions.MultivariateNormal(self.mean(x), self.kernel(x))

likelihood = gpytorch.likelihoods.GaussianLikelihood()
model = GP(x, y, likelihood)
optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
objective = gpytorch.mlls.ExactMarginalLogLikelihood(likelihood, model)
losses = []
for _ in range(10):
    optimizer.zero_grad()
    loss = -objective(model(x), y)
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
model.eval(), likelihood.eval()
with torch.no_grad(), gpytorch.settings.fast_pred_var():
    p = likelihood(model(torch.linspace(0.05, 0.9, 7)))
    numbers.update(losses=losses, mean=p.mean.tolist(), variance=p.variance.tolist(),
           low=p.confidence_region()[0].tolist())
""", tmp_path, rtol=1e-3)
    assert made["losses"][9] < made["losses"][0]
