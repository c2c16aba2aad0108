from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch.distributions import Independent, Normal, TransformedDistribution
from torch.distributions.transforms import TanhTransform

from policies.hil_serl.augmentation import augmented, random_shift
from policies.hil_serl.batch import Batch, ObservationShape, Observed, from_replay
from policies.hil_serl.config import ActorConfig, CriticConfig, ModelConfig
from policies.hil_serl.layers import Norm, Stack
from policies.hil_serl.layout import ObservationLayout
from policies.hil_serl.networks import ActingNetworks, Actor, SquashedGaussian, ValueNetworks, acting_state
from policies.hil_serl.observation_encoder import ObservationEncoder, pooled
from policies.hil_serl.replay_batch import empty_batch
from policies.hil_serl.weights import put_weights
from tests.unit.hil_serl_samples import (
    BATCH,
    CAMERAS,
    CHANNELS,
    GRID,
    PIXELS,
    SHAPE,
    SMALL,
    STATE,
    arrays,
    batches,
    with_encoder,
    with_model,
)
from tutelage_core.errors import ConfigurationError

pytestmark = pytest.mark.unit
FLOAT = torch.float32


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def test_log_density_is_that_of_a_normal_pushed_through_tanh() -> None:
    pi = SquashedGaussian(torch.randn(50, 6).double(), torch.randn(50, 6).double() * 0.5 - 1.0)
    a, log_pi = pi.sample(torch.randn(50, 6).double())
    normal = Independent(Normal(pi.mean, pi.log_std.exp()), 1)
    expected = TransformedDistribution(normal, TanhTransform(cache_size=1))
    torch.testing.assert_close(log_pi, expected.log_prob(a), rtol=1e-6, atol=1e-6)
    assert a.abs().max() < 1.0


def test_log_density_stays_finite_where_tanh_saturates() -> None:
    pi = SquashedGaussian(torch.full((1, 2), 30.0), torch.zeros(1, 2))
    a, log_pi = pi.sample(torch.zeros(1, 2))
    assert a.tolist() == [[1.0, 1.0]]
    # log(1 - tanh(u)^2) = 2 log 2 - 2 u up to e^-60
    expected = 2 * (-0.5 * torch.log(torch.tensor(2 * torch.pi)) - (2 * torch.log(torch.tensor(2.0)) - 60.0))
    torch.testing.assert_close(log_pi[0], expected)


def test_deviation_is_clipped_and_its_gradient_never_nan() -> None:
    actor = Actor(ModelConfig(actor=ActorConfig(hidden=(8,)), action_size=2), 4, FLOAT)
    with torch.no_grad():
        actor.stack.biases[-1][..., 2] = 1e4
        actor.stack.biases[-1][..., 3] = -1e4
    pi = actor(torch.randn(3, 4))
    torch.testing.assert_close(pi.log_std.exp(), torch.tensor([[5.0, 1e-5]]).expand(3, 2))
    _, log_pi = pi.sample(torch.randn(3, 2))
    log_pi.sum().backward()
    assert all(torch.isfinite(w.grad).all() for w in actor.parameters() if w.grad is not None)


def by_hand(stack: Stack, member: int, x: torch.Tensor, extra: torch.Tensor | None) -> torch.Tensor:
    """Return one member's outputs, layer after layer."""
    x = x @ stack.first_weight[:, member] + stack.biases[0][member]
    if extra is not None and stack.extra_weight is not None:
        x = x + extra @ stack.extra_weight[member]
    for i, norm in enumerate(stack.norms):
        width = x.shape[-1]
        assert isinstance(norm, Norm)
        x = F.layer_norm(x, (width,), norm.scale[member, 0], norm.shift[member, 0]).tanh()
        x = x @ stack.weights[i][member] + stack.biases[i + 1][member]
    return x


@pytest.mark.parametrize("members", [1, 3])
def test_members_of_a_stack_are_networks_of_their_own(members: int) -> None:
    stack = Stack(members, 7, (8, 5), 2, FLOAT, extra=3)
    for parameter in stack.parameters():  # scales and shifts too, or a mixed-up member would not show
        torch.nn.init.normal_(parameter)
    x, extra = torch.randn(9, 7), torch.randn(9, 3)
    found = stack.rest(stack.first(x), extra)
    assert found.shape == (members, 9, 2)
    for member in range(members):
        torch.testing.assert_close(found[member], by_hand(stack, member, x, extra), rtol=1e-4, atol=1e-4)


def test_chosen_members_give_what_they_give_among_all() -> None:
    values = ValueNetworks(with_model(SMALL, critic=CriticConfig((16, 16), 5, 2)).model, SHAPE, FLOAT)
    z, a, drawn = torch.randn(4, values.encoder.features), torch.randn(4, 6), torch.tensor([3, 0])
    everyone = values.judge(values.read(z), a)
    torch.testing.assert_close(values.judge(values.read(z, drawn), a, drawn), everyone[drawn])


def encoder_of(shape: ObservationShape = SHAPE, **settings: object) -> ObservationEncoder:
    return ObservationEncoder(with_encoder(SMALL, **settings).model.encoder, shape, FLOAT)


def test_features_of_each_camera_are_its_own_embeddings_dense_norm_and_tanh() -> None:
    encoder = encoder_of()
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    observed = batches(1)[0].observed
    features = encoder(encoder.prepare(observed))
    assert features.shape == (BATCH, 2 * 16 + 8)
    for i, name in enumerate(CAMERAS):
        maps = observed.images[name].float().flatten(2)
        embeddings = encoder.embeddings[i * CHANNELS : (i + 1) * CHANNELS]
        read = torch.einsum("bcl,cfl->bcf", maps, embeddings).flatten(1)
        dense = read @ encoder.camera_weight[i] + encoder.camera_bias[i]
        norm = encoder.camera_norm
        expected = F.layer_norm(dense, (16,), norm.scale[i, 0], norm.shift[i, 0]).tanh()
        torch.testing.assert_close(features[:, i * 16 : (i + 1) * 16], expected, rtol=1e-4, atol=1e-4)
    state = encoder.state_norm(observed.state @ encoder.state_weight + encoder.state_bias).tanh()
    torch.testing.assert_close(features[:, 32:], state, rtol=1e-4, atol=1e-4)


def test_maps_pooled_before_storing_and_after_give_the_same_features() -> None:
    encoder = encoder_of(grid=(2, 2))
    observed = batches(1)[0].observed
    observed = Observed({name: stored.float() for name, stored in observed.images.items()}, observed.state)
    before = Observed({name: pooled(stored, (2, 2)) for name, stored in observed.images.items()}, observed.state)
    torch.testing.assert_close(encoder(encoder.prepare(before)), encoder(encoder.prepare(observed)))


def test_pooling_averages_the_cells() -> None:
    maps = torch.arange(16.0).view(1, 1, 4, 4)
    assert pooled(maps, (2, 2)).tolist() == [[[[2.5, 4.5], [10.5, 12.5]]]]
    assert pooled(maps, None) is maps


def test_room_of_another_batch_is_written_over_and_gives_the_same() -> None:
    encoder = encoder_of()
    first, second = (batch.observed for batch in batches(2))
    room = encoder.prepare(first).images
    assert room is not None
    expected = encoder(encoder.prepare(second))
    again = encoder.prepare(second, room)
    assert again.images is not None
    assert again.images.data_ptr() == room.data_ptr()
    assert torch.equal(encoder(again), expected)


def test_grid_finer_than_the_maps_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="finer"):
        encoder_of(grid=(8, 8))


def test_cameras_of_different_shapes_are_refused_by_name() -> None:
    with pytest.raises(ConfigurationError, match=r"wrist \(6, 2, 2\)"):
        ObservationShape({"front": (6, 4, 4), "wrist": (6, 2, 2)}, STATE)


def test_without_cameras_the_state_alone_is_encoded() -> None:
    encoder = encoder_of(ObservationShape({}, STATE))
    observed = Observed({}, torch.randn(3, STATE))
    assert encoder(encoder.prepare(observed)).shape == (3, 8)


def test_pixels_go_through_one_trunk_that_learns() -> None:
    encoder = encoder_of(PIXELS, encoder="compact", pixels=True)
    observed = batches(1, shape=PIXELS)[0].observed
    encoder(encoder.prepare(observed)).square().sum().backward()
    assert encoder.trunk is not None
    assert all(w.grad is not None and w.grad.abs().sum() > 0 for w in encoder.trunk.parameters())


def test_frozen_trunk_cannot_be_asked_to_learn_from_pixels() -> None:
    with pytest.raises(ConfigurationError, match="frozen"):
        encoder_of(PIXELS, encoder="lite0", pixels=True)


def test_pixels_in_place_of_maps_and_the_reverse_are_refused() -> None:
    maps, pixels = batches(1)[0].observed, batches(1, shape=PIXELS)[0].observed
    with pytest.raises(ValueError, match="pixels, not stored maps"):
        encoder_of().prepare(pixels)
    with pytest.raises(ValueError, match="learns from pixels"):
        encoder_of(PIXELS, encoder="compact", pixels=True).prepare(maps)


def test_shift_moves_each_image_by_at_most_four_pixels_and_repeats_the_edge() -> None:
    rows = torch.arange(32, dtype=torch.uint8)[None, :, None, None].expand(200, 32, 32, 3)
    columns = torch.arange(32, dtype=torch.uint8)[None, None, :, None].expand(200, 32, 32, 3)
    shifted = random_shift(torch.cat([rows, columns]), 4, torch.Generator().manual_seed(0)).int()
    moves = shifted[:200, 16, 0, 0] - 16
    assert set(moves.tolist()) == set(range(-4, 5))
    assert len({tuple(m) for m in torch.stack([moves, shifted[200:, 0, 16, 0] - 16], 1).tolist()}) > 9
    for image, move in zip(shifted[:20], moves, strict=False):
        expected = (torch.arange(32) + move).clamp(0, 31)
        assert torch.equal(image[:, 0, 0], expected.int())


def test_both_observations_are_shifted_each_by_its_own_draw_and_maps_never() -> None:
    pixels = batches(1, shape=PIXELS)[0]
    same = pixels._replace(next_observed=pixels.observed)
    found = augmented(same, 4, torch.Generator().manual_seed(0))
    for name in CAMERAS:
        assert not torch.equal(found.observed.images[name], pixels.observed.images[name])
        assert not torch.equal(found.observed.images[name], found.next_observed.images[name])
    maps = batches(1)[0]
    assert augmented(maps, 4, torch.Generator()).observed.images["front"] is maps.observed.images["front"]


def test_acting_networks_decide_as_the_learners_parts_do() -> None:
    values = ValueNetworks(SMALL.model, SHAPE, FLOAT)
    actor = Actor(SMALL.model, values.encoder.features, FLOAT)
    acting = ActingNetworks(SMALL.model, SHAPE)
    put_weights(acting, acting_state(values, actor), "policy")
    observed = batches(1)[0].observed
    pi, gripper = acting(observed)
    z = values.encode(values.encoder.prepare(observed))
    assert torch.equal(pi.mode(), actor(z).mode())
    assert gripper is not None
    assert torch.equal(gripper, values.grasp(z).argmax(dim=1))


def test_weights_that_do_not_fit_are_refused_whole() -> None:
    acting = ActingNetworks(SMALL.model, SHAPE)
    before = copy.deepcopy(acting.state_dict())
    good = {name: torch.ones_like(tensor) for name, tensor in before.items()}
    first = next(iter(good))
    for bad, told in (
        ({k: v for k, v in good.items() if k != first}, "missing"),
        ({**good, "more": torch.ones(1)}, "unknown"),
        ({**good, first: torch.ones(1)}, "shape"),
        ({**good, first: torch.full_like(good[first], torch.nan)}, "not finite"),
    ):
        with pytest.raises(ConfigurationError, match=told):
            put_weights(acting, bad, "policy")
        assert all(torch.equal(before[k], v) for k, v in acting.state_dict().items())


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"reward": float("nan")}, "reward"),
        ({"reward": float("inf")}, "reward"),
        ({"action": float("nan")}, "action"),
        ({"grasp_penalty": 0.1}, "grasp_penalty"),
        ({"mask": 1.5}, "mask"),
        ({"gripper": 3}, "gripper"),
    ],
)
def test_batch_with_illegal_numbers_is_refused_by_name(change: dict[str, float], named: str) -> None:
    given = arrays()
    for name, value in change.items():
        given[name][3] = value
    with pytest.raises(ConfigurationError, match=named):
        Batch.from_arrays(**given)


def test_batch_with_misshapen_arrays_is_refused_by_name() -> None:
    for name, wrong in (
        ("mask", arrays()["mask"][:-1]),
        ("next_state", arrays()["next_state"][:, :-1]),
        ("images", {n: m[:-1] for n, m in arrays()["images"].items()}),
        ("next_images", {n: m.astype("float64") for n, m in arrays()["next_images"].items()}),
        ("cameras", None),
    ):
        given = arrays()
        if wrong is None:
            del given["next_images"]["wrist"]
        else:
            given[name] = wrong
        with pytest.raises(ConfigurationError, match=name):
            Batch.from_arrays(**given)


@pytest.mark.parametrize(
    "layout",
    [
        ObservationLayout(STATE, maps=dict.fromkeys(CAMERAS, (3, CHANNELS, *GRID))),
        ObservationLayout(STATE, images=dict.fromkeys(CAMERAS, (32, 32))),
    ],
    ids=["maps", "pixels"],
)
def test_what_a_replay_drew_is_taken_over_field_by_field(layout: ObservationLayout) -> None:
    shape = ObservationShape.of(layout)
    assert shape == (SHAPE if layout.maps else PIXELS)
    drawn, given = empty_batch(layout, BATCH), arrays(shape=shape)
    stores = drawn.both_maps or drawn.both_images
    for side, images, state in ((0, "images", "state"), (1, "next_images", "next_state")):
        for name, store in stores.items():
            store[side] = given[images][name]
        drawn.both_states[side] = given[state]
    for name in ("action", "gripper", "reward", "grasp_penalty", "mask"):
        getattr(drawn, name)[:] = given[name]
    found, expected = from_replay(drawn), Batch.from_arrays(**given)
    for mine, theirs in ((found.observed, expected.observed), (found.next_observed, expected.next_observed)):
        assert all(torch.equal(mine.images[name], theirs.images[name]) for name in CAMERAS)
        assert torch.equal(mine.state, theirs.state)
    for name in ("action", "gripper", "reward", "grasp_penalty", "mask"):
        assert torch.equal(getattr(found, name), getattr(expected, name))


def test_maps_of_a_batch_share_memory_with_the_replay() -> None:
    given = arrays()
    batch = Batch.from_arrays(**given)
    given["images"]["front"][0, 0, 0, 0] = 7.0
    assert batch.observed.images["front"][0, 0, 0, 0] == 7.0
    assert batch.observed.images["front"].shape == (BATCH, CHANNELS, *GRID)
