"""Deep Q-learning: balance a pole on a cart by learning what each push is worth (gymnasium's CartPole-v1).

    rushlight examples dqn
"""

import random

import common
import gymnasium as gym
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


class QNetwork(nn.Module):
    """The value of each action in a state: the rewards that follow if one takes it and the best ones from then on."""

    def __init__(self, observations, actions, hidden=256):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(observations, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, actions)
        )

    def forward(self, state):
        return self.layers(state)


class Memory:
    """The last transitions (state, action, reward, next state, whether the episode ended there), in a ring of arrays."""

    def __init__(self, size, observations):
        self.states = np.zeros((size, observations), np.float32)
        self.next_states = np.zeros((size, observations), np.float32)
        self.actions = np.zeros(size, np.int64)
        self.rewards = np.zeros(size, np.float32)
        self.ended = np.zeros(size, np.float32)
        self.count = 0

    def add(self, state, action, reward, next_state, ended):
        i = self.count % len(self.actions)
        self.states[i], self.actions[i], self.rewards[i], self.next_states[i], self.ended[i] = (
            state, action, reward, next_state, ended)
        self.count += 1

    def draw(self, batch):
        chosen = np.random.randint(min(self.count, len(self.actions)), size=batch)
        parts = self.states, self.actions, self.rewards, self.next_states, self.ended
        return [torch.from_numpy(p[chosen]) for p in parts]

    def state_dict(self):
        return {k: torch.from_numpy(v) if k != "count" else v for k, v in vars(self).items()}

    def load_state_dict(self, state):
        vars(self).update({k: v.numpy() if k != "count" else v for k, v in state.items()})


def loss_of(network, target, batch, discount):
    """Values should be the reward plus the discounted value of the best next action, which a slower copy of the network tells.

    The network picks the best next action and the copy rates it (double Q-learning): otherwise errors that are too high are
    preferred by the maximum.
    """
    states, actions, rewards, next_states, ended = batch
    values = network(states).gather(1, actions.unsqueeze(1)).squeeze(1)
    with torch.no_grad():
        best = network(next_states).argmax(1, keepdim=True)
        wanted = rewards + discount * (1 - ended) * target(next_states).gather(1, best).squeeze(1)
    return F.smooth_l1_loss(values, wanted)


@torch.no_grad()
def act(network, state):
    return network(torch.from_numpy(state).unsqueeze(0)).argmax().item()


def evaluate(network, env, episodes, seed):
    """The mean sum of rewards of the best actions, without exploring."""
    returns = []
    for episode in range(episodes):
        state, _ = env.reset(seed=seed + episode)
        total, over = 0.0, False
        while not over:
            state, reward, ended, cut, _ = env.step(act(network, state))
            total, over = total + reward, ended or cut
        returns.append(total)
    return sum(returns) / episodes


def main():
    p = common.parser(__doc__, "dqn", device=False)
    p.add_argument("--steps", type=int, default=100_000, help="at most; it ends when the task is solved")
    p.add_argument("--batch", type=int, default=64)
    p.add_argument("--lr", type=float, default=2.3e-3)
    p.add_argument("--discount", type=float, default=0.99)
    p.add_argument("--every", type=int, default=256, help="steps between two times of learning, with half as many updates each")
    p.add_argument("--explore", type=int, default=8000, help="steps until all but 4 %% of the actions are the best ones")
    p.add_argument("--memory", type=int, default=50_000)
    p.add_argument("--solved", type=float, default=475, help="mean return over 100 episodes")
    args = common.arguments(p, steps=5000, explore=2000)
    every, episodes = 1000, 5 if args.quick else 10

    random.seed(args.seed)
    np.random.seed(args.seed)
    torch.manual_seed(args.seed)
    env, test_env = gym.make("CartPole-v1"), gym.make("CartPole-v1")
    sizes = env.observation_space.shape[0], env.action_space.n
    network, target = QNetwork(*sizes), QNetwork(*sizes)
    target.load_state_dict(network.state_dict())
    memory = Memory(args.memory, sizes[0])
    optimizer = torch.optim.Adam(network.parameters(), lr=args.lr)
    run = common.Run(args)
    step = run.resume(args, network=network, target=target, optimizer=optimizer, memory=memory)
    evaluated, loss = step // every, torch.zeros(())
    while step < args.steps:
        state, _ = env.reset(seed=1000 * args.seed + step)  # so a run that was interrupted goes on with the same episodes
        over = False
        while not over:
            exploring = 0.04 + 0.96 * max(0.0, 1 - step / args.explore)
            action = random.randrange(sizes[1]) if random.random() < exploring else act(network, state)
            next_state, reward, ended, cut, _ = env.step(action)
            memory.add(state, action, reward, next_state, ended)
            state, over = next_state, ended or cut
            step += 1
            if step % args.every == 0:
                for _ in range(args.every // 2):
                    loss = loss_of(network, target, memory.draw(args.batch), args.discount)
                    optimizer.zero_grad()
                    loss.backward()
                    nn.utils.clip_grad_norm_(network.parameters(), 10.0)
                    optimizer.step()
                target.load_state_dict(network.state_dict())
        if step // every > evaluated or step >= args.steps:
            evaluated = step // every
            score = evaluate(network, test_env, episodes, seed=10_000)
            run.log(step=step, exploring=exploring, loss=loss.item(), score=score)
            solved = score >= args.solved and not args.quick and evaluate(network, test_env, 100, seed=20_000) >= args.solved
            run.save(args.steps if solved else step)
            if solved:
                break
    run.result(steps=run.history[-1]["step"], mean_return=evaluate(network, test_env, 10 if args.quick else 100, seed=20_000))
    common.draw(common.plots.plot_curves, {"mean return": [(row["step"], row["score"]) for row in run.history]}, run.out / "curves.png",
                xlabel="step")


if __name__ == "__main__":
    main()
