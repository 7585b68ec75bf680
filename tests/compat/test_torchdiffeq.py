"""torchdiffeq: solvers, the adjoint method, events."""

from compat.programs import needs, same

needs("torchdiffeq", "scipy")


def test_solvers(tmp_path):
    same("""
        from torchdiffeq import odeint
        a = torch.tensor([[-0.1, 2.0], [-2.0, -0.1]], requires_grad=True)
        y0, t = torch.tensor([[2.0, 0.0]]), torch.linspace(0, 2, 9)
        for method in ("dopri5", "bosh3", "adaptive_heun", "euler", "midpoint", "rk4", "explicit_adams"):
            y = odeint(lambda t, y: (y ** 3) @ a, y0, t, method=method)
            numbers[method] = y
            numbers[method + " grad"], = torch.autograd.grad(y.square().sum(), a)
    """, tmp_path, rtol=1e-3, atol=1e-4)


def test_adjoint_trains_a_network(tmp_path):
    same("""
        from torchdiffeq import odeint_adjoint

        class Field(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.net = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2))

            def forward(self, t, y):
                return self.net(y)

        field = fill(Field(), 0.5)
        with torch.no_grad():
            field.net[0].bias.zero_(), field.net[2].bias.zero_()
        y0, target, t = data(4, 2), data(4, 2, seed=2), torch.linspace(0, 1, 3)
        numbers["losses"] = train(
            field, lambda: (odeint_adjoint(field, y0, t, method="rk4")[-1] - target).square().mean())
    """, tmp_path)


def test_events_stop_the_solver(tmp_path):
    same("""
        from torchdiffeq import odeint_event
        fall = lambda t, s: (s[1], torch.full_like(s[1], -9.81))
        time, states = odeint_event(fall, (torch.tensor([10.0]), torch.tensor([0.0])), torch.tensor(0.0),
                                    event_fn=lambda t, s: s[0], method="dopri5")
        numbers.update(time=time, speed=states[1][-1])
    """, tmp_path, rtol=1e-3)
