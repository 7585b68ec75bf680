"""Proximal policy optimisation: many environments at once, and each step used several times (gymnasium).

    rushlight examples ppo --model CartPole-v1      # or Acrobot-v1
"""

import pickle

import common
import gymnasium as gym
import numpy as np
import torch
from torch import nn
from torch.distributions import Categorical
from torch.nn import functional as F

SOLVED = {"CartPole-v1": 475, "Acrobot-v1": -100}  # mean return over 100 episodes


def layer(inputs, outputs, gain=2**0.5):
    """A linear layer with orthogonal weights."""
    made = nn.Linear(inputs, outputs)
    nn.init.orthogonal_(made.weight, gain)
    nn.init.zeros_(made.bias)
    return made


class Policy(nn.Module):
    """Scores of the actions in a state, and the state's value: the rewards that are expected from there on."""

    def __init__(self, observations, actions, hidden=64):
        super().__init__()
        self.actor = nn.Sequential(
            layer(observations, hidden), nn.Tanh(), layer(hidden, hidden), nn.Tanh(), layer(hidden, actions, 0.01)
        )
        self.critic = nn.Sequential(
            layer(observations, hidden), nn.Tanh(), layer(hidden, hidden), nn.Tanh(), layer(hidden, 1, 1.0)
        )

    def forward(self, states):
        return Categorical(logits=self.actor(states)), self.critic(states).squeeze(-1)


class Environments:
    """Several environments that start anew by themselves when an episode is over. They belong to a checkpoint as they are."""

    def __init__(self, name, count, seed):
        self.envs = [gym.make(name) for _ in range(count)]
        self.states = [env.reset(seed=seed + i)[0] for i, env in enumerate(self.envs)]

    def step(self, actions):
        """Next states, rewards, whether that was the end, and whether the episode is over (time may have run out): arrays."""
        rows = []
        for i, (env, action) in enumerate(zip(self.envs, actions)):
            state, reward, ended, cut, _ = env.step(action)
            rows.append((state, reward, ended, ended or cut))
            self.states[i] = env.reset()[0] if ended or cut else state
        return [torch.tensor(np.array(column), dtype=torch.float32) for column in zip(*rows)]

    def state_dict(self):
        return {"envs": torch.tensor(list(pickle.dumps(self.envs)), dtype=torch.uint8), "states": torch.tensor(np.stack(self.states))}

    def load_state_dict(self, state):
        self.envs, self.states = pickle.loads(state["envs"].numpy().tobytes()), list(state["states"].numpy())


@torch.no_grad()
def collect(policy, envs, steps):
    """Play `steps` steps in all environments: tensors of (steps, environments, ...)."""
    rows = []
    for _ in range(steps):
        states = torch.from_numpy(np.stack(envs.states)).float()
        chances, values = policy(states)
        actions = chances.sample()
        rows.append((states, actions, chances.log_prob(actions), values, *envs.step(actions.tolist())))
    return [torch.stack(column) for column in zip(*rows)]


@torch.no_grad()
def advantages_of(values, next_values, rewards, ended, over, discount, smoothing):
    """How much better each action turned out than the critic had thought (generalised advantage estimation)."""
    surprises = rewards + discount * (1 - ended) * next_values - values
    advantages, after = [], torch.zeros(values.shape[1])
    for surprise, last in zip(reversed(surprises), reversed(1 - over)):
        after = surprise + discount * smoothing * last * after
        advantages.append(after)
    return torch.stack(advantages[::-1])


def loss_of(policy, states, actions, before, advantages, returns, clip, entropy):
    """PPO's loss (Schulman et al., 2017): an action's probability may move by the factor 1 +- clip from what it was.

    Beyond that there is nothing more to gain, so the same steps can be used several times without the policy running away.
    """
    chances, values = policy(states)
    ratio = (chances.log_prob(actions) - before).exp()
    weights = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    gain = torch.minimum(ratio * weights, ratio.clamp(1 - clip, 1 + clip) * weights).mean()
    return -gain + 0.5 * F.mse_loss(values, returns) - entropy * chances.entropy().mean()


@torch.no_grad()
def evaluate(policy, name, episodes, seed):
    """The mean sum of rewards of the likeliest actions."""
    env, total = gym.make(name), 0.0
    for i in range(episodes):
        state, _ = env.reset(seed=seed + i)
        over = False
        while not over:
            action = policy.actor(torch.from_numpy(state).float()).argmax().item()
            state, reward, ended, cut, _ = env.step(action)
            total, over = total + reward, ended or cut
    return total / episodes


def main():
    p = common.parser(__doc__, "ppo", device=False)
    p.add_argument("--model", choices=sorted(SOLVED), default="CartPole-v1", help="the task")
    p.add_argument("--updates", type=int, default=200, help="at most; it ends when the task is solved")
    p.add_argument("--envs", type=int, default=8)
    p.add_argument("--steps", type=int, default=128, help="of each environment for an update")
    p.add_argument("--passes", type=int, default=8, help="over the steps in an update")
    p.add_argument("--batch", type=int, default=256)
    p.add_argument("--lr", type=float, default=1e-3, help="at first; it falls to 0")
    p.add_argument("--discount", type=float, default=0.99)
    p.add_argument("--smoothing", type=float, default=0.95, help="of the advantages")
    p.add_argument("--clip", type=float, default=0.2)
    p.add_argument("--entropy", type=float, default=0.01, help="weight of the policy's randomness in the loss")
    args = common.arguments(p, updates=20)
    every, episodes = 5, 5 if args.quick else 20

    torch.manual_seed(args.seed)
    envs = Environments(args.model, args.envs, args.seed)
    policy = Policy(envs.envs[0].observation_space.shape[0], envs.envs[0].action_space.n)
    optimizer = torch.optim.Adam(policy.parameters(), lr=args.lr, eps=1e-5)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, args.updates)
    run = common.Run(args)
    for update in range(run.resume(args, policy=policy, optimizer=optimizer, schedule=schedule, envs=envs), args.updates):
        states, actions, before, values, next_states, rewards, ended, over = collect(policy, envs, args.steps)
        with torch.no_grad():
            next_values = policy.critic(next_states).squeeze(-1)
        advantages = advantages_of(values, next_values, rewards, ended, over, args.discount, args.smoothing)
        parts = [x.flatten(0, 1) for x in (states, actions, before, advantages, advantages + values)]
        for _ in range(args.passes):
            for chosen in torch.randperm(len(parts[0])).split(args.batch):
                loss = loss_of(policy, *(x[chosen] for x in parts), args.clip, args.entropy)
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(policy.parameters(), 0.5)
                optimizer.step()
        schedule.step()
        if (update + 1) % every == 0 or update + 1 == args.updates:
            score = evaluate(policy, args.model, episodes, seed=1_000_000)
            run.log(update=update + 1, steps=(update + 1) * args.steps * args.envs, loss=loss.item(), score=score)
            goal = SOLVED[args.model]
            solved = not args.quick and score >= goal and evaluate(policy, args.model, 100, seed=2_000_000) >= goal
            run.save(args.updates if solved else update + 1)
            if solved:
                break
    run.result(steps=run.history[-1]["steps"],
               mean_return=evaluate(policy, args.model, 10 if args.quick else 100, seed=2_000_000))
    common.draw(common.plots.plot_curves, {"mean return": [(row["steps"], row["score"]) for row in run.history]}, run.out / "curves.png",
                xlabel="step")


if __name__ == "__main__":
    main()
