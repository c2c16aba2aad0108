"""What HIL-SERL minimises.

Soft actor-critic (Haarnoja et al. 2018, arXiv:1812.05905) with the critics of RLPD (Ball et al. 2023,
arXiv:2302.02948, algorithm 1) and the gripper's critic of HIL-SERL (Luo et al. 2024, arXiv:2410.21845, section III).
Where the configuration asks for it, what people showed also pulls directly: the actor clones it, and the gripper's
critic prefers it by a margin. Symbols of the papers::

    s, a, r, s'   observation, continuous action, reward, next observation
    g, p          what the gripper was told, its penalty (at most 0)
    m             1 where the next value counts, time-outs included; 0 after success or failure
    d             1 where people showed the step, else 0
    theta, phi    weights of critics and actor; a bar marks the target's weights
    z             features of s; only the critics' losses train the encoder
    E, Z          size of the ensemble, critics drawn for the target

All losses of an update are taken at the same weights, before any of them moves.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from policies.hil_serl.config import LossConfig
from policies.hil_serl.observation_encoder import Prepared


class Transitions(NamedTuple):
    """A batch; g as int64, m in 0..1, d 0 or 1; all but s and next_s of shape (batch,) or, a, (batch, action)."""

    s: Prepared
    a: Tensor
    g: Tensor
    r: Tensor
    p: Tensor
    m: Tensor
    next_s: Prepared
    d: Tensor


class Gaussian(Protocol):
    """pi(. | s), as `networks.SquashedGaussian` gives it."""

    def sample(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Return actions, shape (batch, action), and log pi of them, shape (batch,), for standard normal `noise`."""
        ...

    def mode(self) -> Tensor:
        """Return the actions without noise, shape (batch, action)."""
        ...


class Values(Protocol):
    """Encoder, critics and gripper's critic: theta."""

    def encode(self, s: Prepared) -> Tensor:
        """Return z, shape (batch, features)."""
        ...

    def read(self, features: Tensor, members: Tensor | None = None) -> Tensor:
        """Return what all or the given critics make of z before they look at an action."""
        ...

    def judge(self, reading: Tensor, action: Tensor, members: Tensor | None = None) -> Tensor:
        """Return Q_i(s, a) of the critics that read, shape (members, batch)."""
        ...

    @property
    def has_gripper(self) -> bool:
        """Whether `grasp` may be called."""
        ...

    def grasp(self, features: Tensor) -> Tensor:
        """Return the gripper's Q(s, .), shape (batch, 3)."""
        ...


class ActorNetwork(Protocol):
    """The actor: phi."""

    def __call__(self, features: Tensor) -> Gaussian:
        """Return pi(. | s)."""
        ...


def target(r: Tensor, m: Tensor, next_Q: Tensor, gamma: float, entropy_bonus: Tensor | None = None) -> Tensor:
    """Return y = r + gamma m (min_{i in Z} Q_i(s', a') - alpha log pi(a' | s')), shape (batch,).

    Args:
        r: shape (batch,).
        m: shape (batch,).
        next_Q: of the target's drawn critics, shape (Z, batch).
        gamma: discount.
        entropy_bonus: - alpha log pi(a' | s'), shape (batch,); None where the entropy is not backed up.
    """
    value = next_Q.amin(dim=0)
    if entropy_bonus is not None:
        value = value + entropy_bonus
    return r + gamma * m * value


def critic_loss(Q: Tensor, y: Tensor) -> Tensor:
    """Return L(theta) = 1 / (E batch) sum_i sum_b (Q_i(s, a) - y)^2; Q of shape (E, batch), y of shape (batch,)."""
    return (Q - y).square().mean()


def grasp_target(r: Tensor, p: Tensor, m: Tensor, next_Q: Tensor, next_Q_bar: Tensor, gamma: float) -> Tensor:
    """Return y_g = r + p + gamma m Q_bar(s', argmax_g' Q(s', g')): double Q-learning (van Hasselt et al. 2016).

    Args:
        r: shape (batch,).
        p: shape (batch,), at most 0.
        m: shape (batch,).
        next_Q: of the online network, shape (batch, 3).
        next_Q_bar: of the target, shape (batch, 3).
        gamma: discount.
    """
    best = next_Q.argmax(dim=1, keepdim=True)
    return r + p + gamma * m * next_Q_bar.gather(1, best).squeeze(1)


def grasp_critic_loss(Q: Tensor, g: Tensor, y: Tensor) -> Tensor:
    """Return L_g(theta) = 1 / batch sum_b (Q(s, g) - y_g)^2; Q of shape (batch, 3), g and y of shape (batch,)."""
    return (Q.gather(1, g[:, None]).squeeze(1) - y).square().mean()


def grasp_margin_loss(Q: Tensor, g: Tensor, d: Tensor, margin: float) -> Tensor:
    """Return J_E(theta) = E_d[max_g' (Q(s, g') + margin [g' != g]) - Q(s, g)], the mean over what people showed.

    Args:
        Q: shape (batch, 3).
        g: shape (batch,).
        d: shape (batch,).
        margin: by how much g shall be better than all else.
    """
    chosen = g[:, None]
    rivals = (Q + margin).scatter(1, chosen, Q.gather(1, chosen))
    return _mean_of_shown(rivals.amax(dim=1) - Q.gather(1, chosen).squeeze(1), d)


def cloning_loss(mode: Tensor, a: Tensor, d: Tensor) -> Tensor:
    """Return E_d[(mode - a)^2], the mean over what people showed; mode and a of shape (batch, action), d (batch,)."""
    return _mean_of_shown((mode - a).square().mean(dim=1), d)


def _mean_of_shown(values: Tensor, d: Tensor) -> Tensor:
    return (values * d).sum() / d.sum().clamp(min=1.0)


def actor_loss(alpha: Tensor, log_pi: Tensor, Q: Tensor) -> Tensor:
    """Return J(phi) = E[alpha log pi(a | s) - mean_i Q_i(s, a)]; Q of shape (E, batch), log_pi of shape (batch,)."""
    return (alpha * log_pi - Q.mean(dim=0)).mean()


def temperature_loss(alpha: Tensor, log_pi: Tensor, target_entropy: float) -> Tensor:
    """Return J(alpha) = alpha (H - H_bar), H = E[- log pi(a | s)]: alpha grows while H lies below H_bar."""
    return alpha * (-log_pi.mean() - target_entropy)


def temperature(multiplier: Tensor) -> Tensor:
    """Return alpha = softplus(lambda), positive whatever the optimiser does."""
    return F.softplus(multiplier)


class CriticLosses(NamedTuple):
    """What the critics' part of an update found; scalars but for the last two.

    Attributes:
        total: critic and grasp loss, and what cloning and margin ask of the encoder and the gripper's critic.
        critic, grasp: the two; grasp is 0 without a gripper.
        value, target: means of Q and y.
        features: z without its gradient, shape (batch, features).
        reading: what the critics read in it, likewise without gradient.
    """

    total: Tensor
    critic: Tensor
    grasp: Tensor
    value: Tensor
    target: Tensor
    features: Tensor
    reading: Tensor


def critic_losses(
    theta: Values,
    theta_bar: Values,
    phi: ActorNetwork,
    multiplier: Tensor,
    batch: Transitions,
    noise: Tensor,
    drawn: Tensor | None,
    config: LossConfig,
) -> CriticLosses:
    """Return the losses of critics and gripper's critic; encoder included, these are all that trains theta.

    Args:
        theta: critics.
        theta_bar: their target.
        phi: actor.
        multiplier: lambda of the temperature.
        batch: transitions.
        noise: standard normal, draws a' ~ pi(. | s'), shape (batch, action).
        drawn: Z, indices of the target's critics; None takes all.
        config: numbers of the losses.
    """
    s, a, g, r, p, m, next_s, d = batch
    with torch.no_grad():
        next_z_bar = theta_bar.encode(next_s)
        next_z = next_z_bar if config.one_next_encoding else theta.encode(next_s)
        next_a, next_log_pi = phi(next_z).sample(noise)
        next_Q_bar = theta_bar.judge(theta_bar.read(next_z_bar, drawn), next_a, drawn)
        bonus = -temperature(multiplier) * next_log_pi if config.backup_entropy else None
        y = target(r, m, next_Q_bar, config.discount, bonus)

    z = theta.encode(s)
    reading = theta.read(z)
    Q = theta.judge(reading, a)
    loss = critic_loss(Q, y)

    loss_g = torch.zeros_like(loss)
    if theta.has_gripper:
        Q_g = theta.grasp(z)
        with torch.no_grad():
            next_Q_g, next_Q_g_bar = theta.grasp(next_z), theta_bar.grasp(next_z_bar)
            y_g = grasp_target(r, p, m, next_Q_g, next_Q_g_bar, config.discount)
        loss_g = grasp_critic_loss(Q_g, g, y_g)
        if config.grasp_margin > 0.0:
            loss_g = loss_g + grasp_margin_loss(Q_g, g, d, config.grasp_margin)

    total = loss + loss_g
    if config.cloning_encoder > 0.0:
        total = total + config.cloning_encoder * cloning_loss(phi(z).mode(), a, d)

    return CriticLosses(
        total, loss.detach(), loss_g.detach(), Q.detach().mean(), y.mean(), z.detach(), reading.detach()
    )


class ActorLosses(NamedTuple):
    """What the actor's part of an update found, scalars.

    Attributes:
        total: actor, cloning and temperature loss.
        actor, temperature: the two.
        entropy: H, estimated on this batch [nat].
    """

    total: Tensor
    actor: Tensor
    temperature: Tensor
    entropy: Tensor


def actor_losses(
    theta: Values,
    phi: ActorNetwork,
    multiplier: Tensor,
    features: Tensor,
    reading: Tensor,
    batch: Transitions,
    noise: Tensor,
    config: LossConfig,
) -> ActorLosses:
    """Return the losses of actor and temperature; ask for the gradients of phi and lambda only.

    Args:
        theta: critics.
        phi: actor.
        multiplier: lambda of the temperature.
        features: z without its gradient, from `critic_losses` at the same weights.
        reading: what the critics read in it, likewise.
        batch: transitions, for what people showed.
        noise: standard normal, draws a ~ pi(. | s), shape (batch, action).
        config: numbers of the losses.
    """
    alpha = temperature(multiplier)
    pi = phi(features)
    a, log_pi = pi.sample(noise)
    Q = theta.judge(reading, a)
    loss = actor_loss(alpha.detach(), log_pi, Q)
    if config.cloning > 0.0:
        loss = loss + config.cloning * cloning_loss(pi.mode(), batch.a, batch.d)
    loss_alpha = temperature_loss(alpha, log_pi.detach(), config.entropy_per_dimension * noise.shape[1])
    return ActorLosses(loss + loss_alpha, loss.detach(), loss_alpha.detach(), -log_pi.detach().mean())
