"""Policy gradients: balance a pole on a cart by making actions likelier that turned out well (gymnasium's CartPole-v1).

    rushlight examples policy_gradient --model reinforce      # or actor-critic
"""

import random

import common
import gymnasium as gym
import torch
from torch import nn
from torch.distributions import Categorical
from torch.nn import functional as F


class Policy(nn.Module):
    """Scores of the actions in a state, and the state's value: the rewards that are expected from there on."""

    def __init__(self, observations, actions, hidden=128):
        super().__init__()
        self.actor = nn.Sequential(nn.Linear(observations, hidden), nn.Tanh(), nn.Linear(hidden, actions))
        self.critic = nn.Sequential(nn.Linear(observations, hidden), nn.Tanh(), nn.Linear(hidden, 1))

    def forward(self, states):
        return self.actor(states), self.critic(states).squeeze(-1)


def play(policy, env, seed, best=False):
    """One episode with drawn (or the likeliest) actions: states (length + 1, 4), actions, rewards, and whether the pole fell."""
    state, _ = env.reset(seed=seed)
    states, actions, rewards, over = [state], [], [], False
    while not over:
        with torch.no_grad():
            scores = policy.actor(torch.from_numpy(state))
        action = (scores.argmax() if best else Categorical(logits=scores).sample()).item()
        state, reward, fell, cut, _ = env.step(action)
        states.append(state)
        actions.append(action)
        rewards.append(reward)
        over = fell or cut
    return states, actions, rewards, fell


def discounted(rewards, discount, after=0.0):
    """For each step the sum of the rewards from there on; a reward n steps later counts discount ** n."""
    sums = []
    for reward in reversed(rewards):
        after = reward + discount * after
        sums.append(after)
    return sums[::-1]


def reinforce_loss(policy, episodes, args):
    """REINFORCE (Williams, 1992): an action's weight is the sum of the rewards that followed, against what is usual."""
    states = torch.tensor([s for states, _, _, _ in episodes for s in states[:-1]])
    actions = torch.tensor([a for _, actions, _, _ in episodes for a in actions])
    returns = torch.tensor([r for _, _, rewards, _ in episodes for r in discounted(rewards, args.discount)])
    weights = (returns - returns.mean()) / (returns.std() + 1e-6)
    policy_now = Categorical(logits=policy.actor(states))
    return -(weights * policy_now.log_prob(actions)).mean() - args.entropy * policy_now.entropy().mean()


def actor_critic_loss(policy, episodes, args):
    """Actor and critic: an action's weight is how much better it turned out than the critic had thought.

    That advantage is the sum of the surprises r + discount * V(next) - V(state) from there on, fading by `smoothing`
    (generalised advantage estimation, Schulman et al., 2016). The critic learns to tell the returns.
    """
    states = torch.tensor([s for states, _, _, _ in episodes for s in states])
    scores, values = policy(states)
    plain_values = values.tolist()
    used, actions, advantages, start = [], [], [], 0
    for states, acts, rewards, fell in episodes:
        v = plain_values[start : start + len(states)]
        if fell:
            v[-1] = 0.0  # nothing follows; where time ran out, the rest is what the critic expects
        surprises = [r + args.discount * after - now for r, now, after in zip(rewards, v, v[1:])]
        advantages += discounted(surprises, args.discount * args.smoothing)
        used += range(start, start + len(acts))
        actions += acts
        start += len(states)
    used, actions, advantages = torch.tensor(used), torch.tensor(actions), torch.tensor(advantages)
    policy_now = Categorical(logits=scores[used])
    weights = (advantages - advantages.mean()) / (advantages.std() + 1e-6)
    critic_loss = F.smooth_l1_loss(values[used], values[used].detach() + advantages)
    return (-(weights * policy_now.log_prob(actions)).mean() - args.entropy * policy_now.entropy().mean()
            + 0.5 * critic_loss)


def evaluate(policy, env, episodes, seed):
    """The mean sum of rewards of the likeliest actions."""
    return sum(sum(play(policy, env, seed + i, best=True)[2]) for i in range(episodes)) / episodes


def main():
    p = common.parser(__doc__, "policy_gradient", device=False)
    p.add_argument("--model", choices=["reinforce", "actor-critic"], default="reinforce")
    p.add_argument("--updates", type=int, default=500, help="at most; it ends when the task is solved")
    p.add_argument("--episodes", type=int, default=5, help="for an update")
    p.add_argument("--lr", type=float, default=1e-2)
    p.add_argument("--discount", type=float, default=0.99)
    p.add_argument("--smoothing", type=float, default=0.95, help="of the actor-critic's advantages")
    p.add_argument("--entropy", type=float, default=0.01, help="weight of the policy's randomness in the loss")
    p.add_argument("--solved", type=float, default=475, help="mean return over 100 episodes")
    args = common.arguments(p, updates=40)
    every, count = 10, 5 if args.quick else 20

    random.seed(args.seed)
    torch.manual_seed(args.seed)
    env = gym.make("CartPole-v1")
    policy = Policy(env.observation_space.shape[0], env.action_space.n)
    loss_of = reinforce_loss if args.model == "reinforce" else actor_critic_loss
    optimizer = torch.optim.Adam(policy.parameters(), lr=args.lr)
    run = common.Run(args)
    start = run.resume(args, policy=policy, optimizer=optimizer)
    steps = run.history[-1]["steps"] if start else 0
    for update in range(start, args.updates):
        first = args.seed * 1_000_000 + update * args.episodes
        episodes = [play(policy, env, seed=first + i) for i in range(args.episodes)]
        steps += sum(len(e[1]) for e in episodes)
        loss = loss_of(policy, episodes, args)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(policy.parameters(), 0.5)
        optimizer.step()
        if (update + 1) % every == 0 or update + 1 == args.updates:
            score = evaluate(policy, env, count, seed=500_000_000)
            run.log(update=update + 1, steps=steps, loss=loss.item(), score=score)
            solved = not args.quick and score >= args.solved and evaluate(policy, env, 100, seed=600_000_000) >= args.solved
            run.save(args.updates if solved else update + 1)
            if solved:
                break
    run.result(steps=run.history[-1]["steps"], mean_return=evaluate(policy, env, 10 if args.quick else 100, seed=600_000_000))
    common.draw(common.plots.plot_curves, {"mean return": [(row["steps"], row["score"]) for row in run.history]}, run.out / "curves.png",
                xlabel="step")


if __name__ == "__main__":
    main()
