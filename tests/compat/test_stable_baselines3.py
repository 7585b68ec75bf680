"""stable-baselines3: PPO and DQN learn CartPole with the same random numbers, step for step."""

from __future__ import annotations

import pytest
from compat.programs import needs, same

needs("stable_baselines3", "gymnasium")
LEARN = {
    "PPO": "PPO('MlpPolicy', 'CartPole-v1', seed=0, n_steps=64, batch_size=32, n_epochs=2, "
           "device='cpu').learn(256)",
    "DQN": "DQN('MlpPolicy', 'CartPole-v1', seed=0, learning_starts=100, device='cpu').learn(400)",
}


@pytest.mark.parametrize("name", LEARN)
def test_learn_and_save(name, tmp_path):
    made = same(f"""
from stable_baselines3 import {name}
model = {LEARN[name]}
states = np.random.RandomState(0).uniform(-0.1, 0.1, (20, 4)).astype(np.float32)
actions = model.predict(states, deterministic=True)[0].tolist()
model.save("model.zip")
loaded = {name}.load("model.zip", device="cpu").predict(states, deterministic=True)[0].tolist()
rewards = [float(e["r"]) for e in model.ep_info_buffer]
weights = [p.abs().sum().item() for p in model.policy.parameters()]
numbers.update(actions=actions, same=actions == loaded, rewards=rewards, weights=weights)
""", tmp_path, rtol=1e-3)
    assert made["same"] and len(made["rewards"]) > 3
