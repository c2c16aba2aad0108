"""Each loss against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from policies.hil_serl import losses
from policies.hil_serl.config import LossConfig
from policies.hil_serl.losses import Transitions
from policies.hil_serl.observation_encoder import Prepared

pytestmark = pytest.mark.unit


def t(*values: float) -> Tensor:
    return torch.tensor(values)


class Line:
    """pi(. | s): a = s + noise, log pi = -2 whatever happens."""

    def __init__(self, z: Tensor, weight: Tensor) -> None:
        self.mean = z * weight

    def sample(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        return self.mean + noise, self.mean.sum(dim=1) * 0.0 - 2.0

    def mode(self) -> Tensor:
        return self.mean


class LinearActor:
    def __init__(self, weight: float = 1.0) -> None:
        self.weight = torch.tensor(weight, requires_grad=True)

    def __call__(self, features: Tensor) -> Line:
        return Line(features, self.weight)


class LinearValues:
    """z = e s, Q_i = w_i (z + a), gripper: z times (1, 2, 3) g."""

    def __init__(self, encoder: float, w: tuple[float, ...], g: float = 1.0, gripper: bool = True) -> None:
        self.e = torch.tensor(encoder, requires_grad=True)
        self.w = torch.tensor(w, requires_grad=True)
        self.g = torch.tensor(g, requires_grad=True)
        self.has_gripper = gripper

    def encode(self, s: Prepared) -> Tensor:
        return self.e * s.state

    def read(self, features: Tensor, members: Tensor | None = None) -> Tensor:
        weights = self.w if members is None else self.w[members]
        return weights[:, None] * features[:, 0]

    def judge(self, reading: Tensor, action: Tensor, members: Tensor | None = None) -> Tensor:
        weights = self.w if members is None else self.w[members]
        return reading + weights[:, None] * action[:, 0]

    def grasp(self, features: Tensor) -> Tensor:
        return self.g * features * t(1.0, 2.0, 3.0)


def one(
    state: float,
    next_state: float,
    action: float,
    *,
    r: float = 0.0,
    p: float = 0.0,
    m: float = 1.0,
    g: int = 0,
    d: float = 0.0,
) -> Transitions:
    s, next_s = Prepared(None, torch.tensor([[state]])), Prepared(None, torch.tensor([[next_state]]))
    return Transitions(s, torch.tensor([[action]]), torch.tensor([g]), t(r), t(p), t(m), next_s, t(d))


def test_target_takes_the_least_critic_and_masks_only_what_ended() -> None:
    y = losses.target(t(1.0, 1.0), t(1.0, 0.0), torch.tensor([[4.0, 4.0], [2.0, 9.0]]), 0.5)
    torch.testing.assert_close(y, t(1.0 + 0.5 * 2.0, 1.0))


def test_backed_up_entropy_is_discounted_and_masked_with_the_value() -> None:
    y = losses.target(t(0.0, 0.0), t(1.0, 0.0), torch.tensor([[4.0, 4.0]]), 0.5, t(2.0, 2.0))
    torch.testing.assert_close(y, t(0.5 * 6.0, 0.0))


def test_critic_loss_is_the_mean_over_ensemble_and_batch() -> None:
    assert losses.critic_loss(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), t(1.0, 1.0)).item() == (0 + 1 + 4 + 9) / 4


def test_grasp_target_chooses_with_the_online_network_and_values_with_the_target() -> None:
    online, target = torch.tensor([[0.0, 5.0, 1.0]]), torch.tensor([[9.0, 2.0, 8.0]])
    y = losses.grasp_target(t(1.0), t(-0.25), t(1.0), online, target, 0.5)
    torch.testing.assert_close(y, t(1.0 - 0.25 + 0.5 * 2.0))


def test_grasp_penalty_counts_also_where_the_episode_ends() -> None:
    any_values = torch.ones(1, 3)
    torch.testing.assert_close(losses.grasp_target(t(1.0), t(-0.25), t(0.0), any_values, any_values, 0.5), t(0.75))


def test_grasp_loss_looks_at_the_command_that_was_given() -> None:
    Q = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    assert losses.grasp_critic_loss(Q, torch.tensor([2, 0]), t(1.0, 1.0)).item() == ((3 - 1) ** 2 + (4 - 1) ** 2) / 2


def test_actor_loss_uses_the_mean_over_critics() -> None:
    loss = losses.actor_loss(torch.tensor(0.5), t(2.0, 4.0), torch.tensor([[1.0, 3.0], [3.0, 5.0]]))
    assert loss.item() == ((0.5 * 2 - 2) + (0.5 * 4 - 4)) / 2


def test_temperature_falls_above_the_target_entropy_and_rises_below_it() -> None:
    for log_pi, sign in ((1.0, 1.0), (5.0, -1.0)):  # H = -1 lies above, H = -5 below -3
        multiplier = torch.zeros((), requires_grad=True)
        losses.temperature_loss(losses.temperature(multiplier), t(log_pi), -3.0).backward()
        assert multiplier.grad is not None
        assert math.copysign(1.0, multiplier.grad.item()) == sign
    assert losses.temperature_loss(torch.tensor(0.5), t(1.0, 3.0), -3.0).item() == 0.5 * (-2.0 + 3.0)


def test_critics_part_equals_the_sum_by_hand() -> None:
    theta, theta_bar = LinearValues(1.0, (1.0, 2.0)), LinearValues(0.5, (3.0, 1.0), g=2.0)
    found = losses.critic_losses(
        theta,
        theta_bar,
        LinearActor(),
        torch.zeros(()),
        one(1.0, 2.0, 0.5, r=1.0, p=-0.25, m=1.0, g=1),
        torch.tensor([[0.25]]),
        None,
        LossConfig(discount=0.5),
    )
    # z' = 2, a' = 2.25; target z' = 1: Q' = 3 (1 + 2.25), 1 (1 + 2.25), least 3.25; y = 1 + 0.5 * 3.25 = 2.625
    # Q = 1 (1 + 0.5), 2 (1 + 0.5)
    critic = ((1.5 - 2.625) ** 2 + (3.0 - 2.625) ** 2) / 2
    # gripper: greedy is 2; target says 2 * 1 * 3 = 6; y = 1 - 0.25 + 0.5 * 6 = 3.75; Q(1) = 2
    grasp = (2.0 - 3.75) ** 2
    assert found.critic.item() == pytest.approx(critic)
    assert found.grasp.item() == pytest.approx(grasp)
    assert found.total.item() == pytest.approx(critic + grasp)
    assert (found.value.item(), found.target.item()) == pytest.approx((2.25, 2.625))


def test_only_the_drawn_critics_make_the_target() -> None:
    theta, theta_bar = LinearValues(1.0, (1.0, 1.0, 1.0)), LinearValues(1.0, (1.0, 5.0, 9.0))
    batch = one(1.0, 1.0, 0.0, r=0.0, p=0.0, m=1.0)
    for drawn, least in ((None, 1.0), (torch.tensor([1, 2]), 5.0), (torch.tensor([2]), 9.0)):
        found = losses.critic_losses(
            theta, theta_bar, LinearActor(), torch.zeros(()), batch, torch.zeros(1, 1), drawn, LossConfig(discount=0.5)
        )
        assert found.target.item() == pytest.approx(0.5 * least * 2.0)


def test_time_out_bootstraps_and_success_does_not() -> None:
    theta = LinearValues(1.0, (1.0,))
    for m, y in ((1.0, 1.0 + 0.5 * 4.0), (0.0, 1.0)):
        batch = one(1.0, 2.0, 0.0, r=1.0, p=0.0, m=m)
        found = losses.critic_losses(
            theta, theta, LinearActor(), torch.zeros(()), batch, torch.zeros(1, 1), None, LossConfig(discount=0.5)
        )
        assert found.target.item() == pytest.approx(y)


def test_entropy_is_backed_up_only_where_asked() -> None:
    theta = LinearValues(1.0, (1.0,), gripper=False)
    alpha = math.log(2.0)  # softplus(0)
    for backup, bonus in ((False, 0.0), (True, 2.0 * alpha)):
        found = losses.critic_losses(
            theta,
            theta,
            LinearActor(),
            torch.zeros(()),
            one(1.0, 2.0, 0.0, r=0.0, p=0.0, m=1.0),
            torch.zeros(1, 1),
            None,
            LossConfig(discount=0.5, backup_entropy=backup),
        )
        assert found.target.item() == pytest.approx(0.5 * (4.0 + bonus))


def test_next_action_is_chosen_from_own_features_or_where_asked_from_the_targets() -> None:
    theta, theta_bar = LinearValues(1.0, (1.0,), gripper=False), LinearValues(0.5, (3.0,), gripper=False)
    for one_next, next_a in ((False, 2.0), (True, 1.0)):  # a' = z' of s' = 2
        found = losses.critic_losses(
            theta,
            theta_bar,
            LinearActor(),
            torch.zeros(()),
            one(1.0, 2.0, 0.0, r=0.0, p=0.0, m=1.0),
            torch.zeros(1, 1),
            None,
            LossConfig(discount=0.5, one_next_encoding=one_next),
        )
        assert found.target.item() == pytest.approx(0.5 * 3.0 * (1.0 + next_a))


def test_critics_part_trains_neither_actor_nor_target() -> None:
    theta, theta_bar, phi = LinearValues(1.0, (1.0,)), LinearValues(1.0, (2.0,)), LinearActor()
    multiplier = torch.zeros((), requires_grad=True)
    config = LossConfig(backup_entropy=True)
    batch = one(1.0, 2.0, 0.5, r=1.0, p=0.0, m=1.0)
    found = losses.critic_losses(theta, theta_bar, phi, multiplier, batch, torch.zeros(1, 1), None, config)
    found.total.backward()
    assert phi.weight.grad is None
    assert multiplier.grad is None
    assert theta_bar.w.grad is None
    assert theta_bar.e.grad is None
    assert theta.e.grad is not None
    assert theta.w.grad is not None
    assert theta.g.grad is not None


def test_actors_part_equals_the_sum_by_hand_and_leaves_the_encoder_alone() -> None:
    theta, phi = LinearValues(2.0, (1.0, 3.0)), LinearActor(0.5)
    multiplier = torch.zeros((), requires_grad=True)
    z = theta.encode(Prepared(None, torch.tensor([[1.5]]))).detach()
    reading = theta.read(z).detach()
    batch = one(1.5, 0.0, 1.0)
    found = losses.actor_losses(theta, phi, multiplier, z, reading, batch, torch.tensor([[0.25]]), LossConfig())
    # z = 3, a = 1.75, Q = 4.75 and 14.25, log pi = -2, alpha = log 2, H = 2, H_bar = -1/2
    alpha = math.log(2.0)
    assert found.actor.item() == pytest.approx(alpha * -2.0 - 9.5)
    assert found.temperature.item() == pytest.approx(alpha * (2.0 + 0.5))
    assert found.entropy.item() == 2.0
    found.total.backward()
    assert phi.weight.grad is not None
    assert phi.weight.grad.item() == pytest.approx(-2.0 * 3.0)  # - mean_i w_i da / dweight
    assert multiplier.grad is not None
    assert multiplier.grad.item() == pytest.approx(0.5 * 2.5)  # slope of softplus at 0
    assert theta.e.grad is None


def test_cloning_is_the_mean_over_what_was_shown_and_zero_where_nothing_was() -> None:
    mode, a = torch.tensor([[1.0, 0.0], [5.0, 5.0], [0.0, 2.0]]), torch.zeros(3, 2)
    assert losses.cloning_loss(mode, a, t(1.0, 0.0, 1.0)).item() == (0.5 + 2.0) / 2
    assert losses.cloning_loss(mode, a, t(0.0, 0.0, 0.0)).item() == 0.0


def test_margin_is_asked_for_only_where_another_command_comes_near_the_shown_one() -> None:
    Q = torch.tensor([[1.0, 0.5, 0.0], [1.0, 0.9, 0.0], [0.0, 0.0, 1.0], [0.0, 9.0, 0.0]])
    g, d = torch.tensor([0, 0, 0, 0]), t(1.0, 1.0, 1.0, 0.0)
    # 1 is better than 0.5 by more than the margin; 0.9 + 0.25 - 1; 1 + 0.25 - 0; the last was not shown
    assert losses.grasp_margin_loss(Q, g, d, 0.25).item() == pytest.approx((0.0 + 0.15 + 1.25) / 3)
    assert losses.grasp_margin_loss(Q, g, d, 0.0).item() == pytest.approx((0.0 + 0.0 + 1.0) / 3)


def test_what_was_shown_pulls_only_where_it_is_asked_for() -> None:
    def of_critics(d: float, config: LossConfig) -> tuple[float, float, float]:
        theta, phi = LinearValues(1.0, (0.0,)), LinearActor(0.5)
        batch = one(1.0, 0.0, 1.0, g=0, d=d)
        found = losses.critic_losses(theta, theta, phi, torch.zeros(()), batch, torch.zeros(1, 1), None, config)
        pulled = torch.autograd.grad(found.total, (theta.e, theta.g))
        assert phi.weight.grad is None
        return (found.total.item(), *(gradient.item() for gradient in pulled))

    def of_actor(d: float, config: LossConfig) -> float:
        theta, phi = LinearValues(1.0, (0.0,)), LinearActor(0.5)
        z, batch = t(1.0)[:, None], one(1.0, 0.0, 1.0, d=d)
        found = losses.actor_losses(theta, phi, torch.zeros(()), z, t(0.0)[None], batch, torch.zeros(1, 1), config)
        (pulled,) = torch.autograd.grad(found.total, (phi.weight,))
        return pulled.item()

    plain, pulling = LossConfig(), LossConfig(cloning=3.0, cloning_encoder=2.0, grasp_margin=0.25)
    for d in (0.0, 1.0):
        assert of_critics(d, plain) == pytest.approx((1.0, 2.0, 2.0))  # Q_g = e g s = 1 shall be 0
        assert of_actor(d, plain) == 0.0
    assert of_critics(0.0, pulling) == of_critics(0.0, plain)
    assert of_actor(0.0, pulling) == 0.0
    # mode = 0.5 e, which shall be 1: 2 * 0.25, slope 2 * 2 * (0.5 - 1) * 0.5; best rival 3 e g + 0.25 - 1 e g
    assert of_critics(1.0, pulling) == pytest.approx((1.0 + 0.5 + 2.25, 2.0 - 1.0 + 2.0, 2.0 + 2.0))
    assert of_actor(1.0, pulling) == pytest.approx(3.0 * 2.0 * (0.5 - 1.0))
