"""The four policy classes: shapes, losses by hand, and two ways of doing one thing, of which none lies between."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from policies.rum import losses
from policies.rum.act import Act
from policies.rum.action_head import ActionHead
from policies.rum.config import (
    ActConfig,
    DiffusionConfig,
    HeadShape,
    MlpConfig,
    ResidualVqConfig,
    TransformerConfig,
    VqBetConfig,
)
from policies.rum.diffusion import Diffusion, cosine_alphas
from policies.rum.mlp import Mlp
from policies.rum.residual_vq import ResidualVq
from policies.rum.vq_bet import VqBet
from tutelage_core.errors import ConfigurationError

pytestmark = pytest.mark.unit

SMALL = TransformerConfig(layers=1, heads=2, width=32, dropout=0.0)
VQ = ResidualVqConfig(codes=8, latent=16, hidden=32)
MAKE: dict[str, Callable[[HeadShape], ActionHead]] = {
    "vq_bet": lambda shape: VqBet(shape, VqBetConfig(vq=VQ, transformer=SMALL)),
    "diffusion": lambda shape: Diffusion(shape, DiffusionConfig(SMALL)),
    "act": lambda shape: Act(shape, ActConfig(SMALL)),
    "mlp": lambda shape: Mlp(shape, MlpConfig(hidden=32, dropout=0.0)),
}
SHAPE = HeadShape(features=6, history=3, chunk=4, action=7)


@pytest.fixture(params=MAKE)
def head(request: pytest.FixtureRequest) -> ActionHead:
    torch.manual_seed(0)
    return MAKE[request.param](SHAPE)


def batch(n: int = 5, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    window = torch.randn(n, SHAPE.history, SHAPE.features, generator=generator)
    return window, torch.rand(n, SHAPE.history, SHAPE.chunk, SHAPE.action, generator=generator) * 2 - 1


def test_chunk_has_the_shape_and_the_loss_reaches_every_weight(head: ActionHead) -> None:
    window, chunks = batch()
    assert head.draw(window).shape == (5, SHAPE.chunk, SHAPE.action)
    total, figures = head.loss(window, chunks, torch.Generator().manual_seed(0))
    assert math.isfinite(total.item())
    assert figures
    total.backward()
    assert isinstance(head, torch.nn.Module)
    learns = {name for name, value in head.named_parameters() if value.grad is not None and value.grad.any()}
    still = {name for name, _ in head.named_parameters()} - learns
    assert all(name.startswith("vq.") for name in still), still


def test_same_generator_gives_the_same_chunk(head: ActionHead) -> None:
    window, _ = batch()
    assert isinstance(head, torch.nn.Module)
    head.eval()
    drawn = [head.draw(window, torch.Generator().manual_seed(4)) for _ in range(2)]
    assert torch.equal(*drawn)


def test_newest_observation_has_a_say(head: ActionHead) -> None:
    window, _ = batch()
    assert isinstance(head, torch.nn.Module)
    head.eval()
    changed = window.clone()
    changed[:, -1] += 1.0
    generators = [torch.Generator().manual_seed(1) for _ in range(2)]
    assert not torch.equal(head.draw(window, generators[0]), head.draw(changed, generators[1]))


def test_other_shapes_and_numbers_that_are_none_are_refused(head: ActionHead) -> None:
    window, chunks = batch()
    with pytest.raises(ValueError, match="window"):
        head.draw(window[:, 1:])
    with pytest.raises(ValueError, match="chunks"):
        head.loss(window, chunks[:, :, 1:])
    chunks[3, 1, 0, 2] = float("nan")
    with pytest.raises(ValueError, match=r"chunks: rows \[3\]"):
        head.loss(window, chunks)
    window[2, 0, 0] = float("inf")
    with pytest.raises(ValueError, match=r"window: rows \[2\]"):
        head.loss(window, chunks.nan_to_num())


# two ways round: one action of a single number, +1 or -1 with equal chance, whatever is seen

TOY = HeadShape(features=2, history=1, chunk=1, action=1)


def learn(head: ActionHead, steps: int) -> Tensor:
    """Learn that both ways are right, and return what is then done 64 times."""
    assert isinstance(head, torch.nn.Module)
    generator = torch.Generator().manual_seed(1)

    def drawn() -> tuple[Tensor, Tensor]:
        ways = torch.randint(2, (128, 1, 1, 1), generator=generator) * 2.0 - 1.0
        return torch.randn(128, 1, 2, generator=generator), ways + 0.05 * torch.randn(ways.shape, generator=generator)

    head.train()
    if isinstance(head, VqBet):
        first = torch.optim.AdamW(head.vq.parameters(), 3e-3)
        for _ in range(steps):
            loss, _ = head.vq_loss(drawn()[1].flatten(0, 1), generator)
            first.zero_grad()
            loss.backward()
            first.step()
        head.vq.eval().requires_grad_(requires_grad=False)
    optimiser = torch.optim.AdamW([p for p in head.parameters() if p.requires_grad], 3e-3)
    for _ in range(steps):
        loss, _ = head.loss(*drawn(), generator)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    head.eval()
    return head.draw(drawn()[0][:64], torch.Generator().manual_seed(2)).flatten()


@pytest.mark.parametrize(("name", "steps"), [("vq_bet", 150), ("diffusion", 400)])
def test_of_two_ways_one_is_taken(name: str, steps: int) -> None:
    torch.manual_seed(0)
    done = learn(MAKE[name](TOY), steps)
    assert ((done.abs() - 1.0).abs() < 0.35).float().mean() > 0.9
    if name == "diffusion":
        assert 0.2 < (done > 0).float().mean() < 0.8, "and both of them are known"


@pytest.mark.parametrize(("name", "steps"), [("mlp", 150), ("act", 150)])
def test_what_has_one_answer_only_goes_between(name: str, steps: int) -> None:
    torch.manual_seed(0)
    done = learn(MAKE[name](TOY), steps)
    assert ((done.abs() - 1.0).abs() < 0.35).float().mean() < 0.5


# the parts


def test_focal_loss_is_that_of_the_paper() -> None:
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    p = [math.exp(2) / (math.exp(2) + 1), 1 / (1 + math.e)]
    by_hand = sum(-((1 - q) ** 2) * math.log(q) for q in p) / 2
    assert losses.focal(logits, torch.tensor([0, 0]), 2.0).item() == pytest.approx(by_hand, rel=1e-6)
    plain = torch.nn.functional.cross_entropy(logits, torch.tensor([0, 0]))
    assert losses.focal(logits, torch.tensor([0, 0]), 0.0).item() == pytest.approx(plain.item(), rel=1e-6)


def test_divergence_is_that_of_two_gaussians() -> None:
    found = losses.gaussian_kl(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, math.log(4.0)]]))
    assert found.item() == pytest.approx(0.5 + 0.5 * (4.0 - 1.0 - math.log(4.0)), rel=1e-6)


def test_weights_of_vq_bet_are_those_of_rum() -> None:
    config = VqBetConfig()
    assert (config.primary, config.secondary, config.offset) == (5.0, 0.5, 10.0)
    assert (config.focal_gamma, config.temperature) == (2.0, 2.0)
    assert (config.vq.codes, config.vq.groups) == (16, 2)


@pytest.mark.parametrize("of", ["right", "sampled"])
def test_offset_is_that_of_the_code_that_was_chosen(of: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    head = VqBet(TOY, VqBetConfig(vq=VQ, transformer=SMALL, offset_of=of))
    asked: list[Tensor] = []
    centres = head.vq.centres
    monkeypatch.setattr(head.vq, "centres", lambda codes: asked.append(codes) or centres(codes))
    window, chunks = torch.randn(64, 1, 2), torch.rand(64, 1, 1, 1) * 2 - 1
    head.loss(window, chunks, torch.Generator().manual_seed(0))
    assert torch.equal(asked[0], head.vq.codes(chunks.flatten(1))) == (of == "right")


def test_secondary_code_is_told_given_the_primary_one() -> None:
    torch.manual_seed(0)
    head = VqBet(TOY, VqBetConfig(vq=VQ, transformer=SMALL)).eval()
    hidden = torch.randn(1, 32).expand(64, -1)
    said = head._say(hidden, 100.0, torch.Generator().manual_seed(0))
    assert torch.allclose(said.primary, said.primary[:1].expand_as(said.primary))
    assert len({tuple(row) for row in said.secondary.detach().numpy().round(4).tolist()}) > 1


def test_quantiser_writes_again_what_it_read_and_loses_no_code() -> None:
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    kinds = torch.rand(6, 8, generator=generator) * 2 - 1
    vq = ResidualVq(8, VQ)
    optimiser = torch.optim.AdamW(vq.parameters(), 3e-3)
    for _ in range(300):
        chunks = kinds[torch.randint(6, (64,), generator=generator)]
        loss, _ = vq.loss(chunks, generator)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    vq.eval()
    codes = vq.codes(kinds)
    assert (vq.centres(codes) - kinds).abs().mean() < 0.1
    assert len({tuple(row) for row in codes.tolist()}) == 6, "each kind has a code of its own"
    before = [book.entries.clone() for book in vq.books()]
    vq.loss(kinds)
    assert all(torch.equal(old, book.entries) for old, book in zip(before, vq.books(), strict=True)), "it is at rest"


def test_noise_levels_go_from_nearly_clean_to_nearly_nothing() -> None:
    alphas = cosine_alphas(100)
    assert alphas[0] > 0.99
    assert alphas[-1] < 1e-3
    assert (alphas.diff() < 0).all()


def test_drawing_ends_at_the_clean_chunk_if_the_noise_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    head = Diffusion(HeadShape(2, 1, 3, 2), DiffusionConfig(SMALL))
    clean = torch.tensor([[[0.5, -0.2], [0.1, 0.9], [-1.0, 0.0]]])
    alphas = cosine_alphas(100)

    def told(chunk: Tensor, levels: Tensor, _: Tensor) -> Tensor:
        alpha = alphas[levels][:, None, None]
        return (chunk - alpha.sqrt() * clean) / (1.0 - alpha).sqrt()

    monkeypatch.setattr(head, "_noise_in", told)
    drawn = head.draw(torch.zeros(1, 1, 2), torch.Generator().manual_seed(0))
    assert torch.allclose(drawn, clean, atol=1e-4)


@pytest.mark.parametrize(
    "make",
    [
        lambda: HeadShape(0, 1, 1, 1),
        lambda: TransformerConfig(width=30, heads=4),
        lambda: TransformerConfig(dropout=1.0),
        lambda: ResidualVqConfig(groups=3),
        lambda: ResidualVqConfig(decay=float("nan")),
        lambda: VqBetConfig(temperature=0.0),
        lambda: VqBetConfig(offset_of="wrong"),
        lambda: DiffusionConfig(steps=10, sample_steps=11),
        lambda: ActConfig(latent=0),
        lambda: MlpConfig(layers=0),
    ],
)
def test_what_cannot_be_built_is_refused(make: Callable[[], object]) -> None:
    with pytest.raises(ConfigurationError):
        make()
