"""The project's own model of images and text: what it learns from, that it learns, and how it is kept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tower_samples import SENTENCES, SMALL, coloured, small_tower

from reward_models.image_text.captioned_frames import NOTHING, CaptionedFrames, joined, read_shard, write_shard
from reward_models.image_text.image_text_model import ImageTextModel
from reward_models.image_text.tower_maps import as_tensor, kept_maps
from reward_models.image_text.tower_training import PART_DONE, Lesson, TowerConfig, TowerTraining
from reward_models.image_text.twin_tower import SPEC, WEIGHTS, TwinTower, save_tower, tower_encoders
from sim.held_things import NOTHING_HELD, held_thing
from tutelage_core.encoders.sentence import sentence_encoder
from tutelage_core.errors import CheckpointError, ConfigurationError

pytestmark = pytest.mark.unit

SCENES = {"Colour": "colours", "Shape": "shapes"}


@pytest.fixture(scope="module")
def maps(tmp_path_factory: pytest.TempPathFactory) -> list[torch.Tensor]:
    return kept_maps(coloured().images, tower_encoders(SMALL), tmp_path_factory.mktemp("maps"))


def lesson(maps: list[torch.Tensor], frames: CaptionedFrames | None = None) -> Lesson:
    return Lesson.of(frames or coloured(), maps, sentence_encoder(), SCENES)


def test_frames_are_the_same_from_the_disk_and_joined_with_others(tmp_path: Path) -> None:
    frames = coloured(2)
    write_shard(tmp_path / "a.npz", frames)
    read = read_shard(tmp_path / "a.npz")
    assert read.said_of(0) == ("the picture is blue", "nothing is red")
    np.testing.assert_array_equal(read.images, frames.images)
    other = replace(
        frames,
        kinds=("Shape",),
        sentences=("it is round", "the picture is blue"),
        captions=frames.captions[:, :1] * 0 + 1,
    )
    both = joined([frames, other])
    assert both.kinds == ("Colour", "Shape")
    assert both.sentences == (*SENTENCES, "it is round")
    assert both.said_of(len(frames)) == ("the picture is blue",)
    assert both.sentences[both.wishes[-1]] == "it is round"
    assert both.captions[-1, 1] == NOTHING
    assert len(both.chosen(np.array([0, 3]))) == 2


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"captions": np.full((3, 1), 9, np.int32)}, "captions has rows beyond"),
        ({"wishes": np.full(3, -1, np.int32)}, "wishes has rows beyond"),
        ({"progress": np.zeros(2, np.float32)}, "progress has shape"),
        ({"cameras": ("front", "wrist")}, "images have shape"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(wrong: dict[str, object], words: str) -> None:
    frames = coloured(1, 3)
    with pytest.raises(ConfigurationError, match=words):
        replace(frames, **wrong)


def test_damaged_shard_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"no archive")
    with pytest.raises(ConfigurationError, match=r"a\.npz"):
        read_shard(tmp_path / "a.npz")


def test_maps_are_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames, encoders = coloured(1, 3), tower_encoders(SMALL)
    first = kept_maps(frames.images, encoders, tmp_path)
    monkeypatch.setattr("reward_models.image_text.tower_maps._compute", lambda *_: pytest.fail("they were there"))
    torch.testing.assert_close(kept_maps(frames.images, encoders, tmp_path)[0], first[0])
    with pytest.raises(pytest.fail.Exception, match="they were there"):
        kept_maps(255 - frames.images, encoders, tmp_path)


def test_targets_say_what_is_true_how_far_a_wish_is_done_and_what_nobody_knows(maps: list[torch.Tensor]) -> None:
    frames = replace(coloured(), kinds=("Colour", "Shape"))
    # the second episode is asked otherwise, in the same scene; the third one plays in another scene
    wishes, tasks = frames.wishes.copy(), frames.tasks.copy()
    wishes[6:12], tasks[12:18], wishes[12:18] = 3, 1, 3
    training = TowerTraining(lesson(maps, replace(frames, wishes=wishes, tasks=tasks)), TowerConfig(shape=SMALL))
    rows = np.array([0, 4, 5, 6, 12])
    targets, weights = training.targets(rows, np.arange(4, dtype=np.int32))
    wish, red, blue, _ = range(4)
    assert targets[0].tolist() == [0.0, 0.0, 1.0, 1.0]
    assert targets[1, red] == 1.0
    assert targets[1, wish] == 1.0, "red is what was asked for"
    assert targets[0, wish] == PART_DONE * frames.progress[0]
    assert targets[1, blue] == 0.0
    assert weights[0, wish] == TowerConfig().wish_weight
    assert weights[3, wish] == 0.0, "the same scene: it may be done"
    assert weights[4, wish] == 1.0, "another scene: it is not"
    assert targets[3, 3] == 1.0, "a wish that is true as a sentence, too"


def test_rivals_are_refuted_only_by_another_answer_to_the_same_question(maps: list[torch.Tensor]) -> None:
    frames = coloured()
    sentences = (*frames.sentences, "the picture is green", "how red the picture is")
    given = {sentences[1]: "red", sentences[2]: "blue", sentences[4]: "green", sentences[5]: "red"}
    asked = Lesson.of(replace(frames, sentences=sentences), maps, sentence_encoder(), SCENES, given.get)
    training = TowerTraining(asked, TowerConfig(shape=SMALL))
    red, blue, green, same = 1, 2, 4, 5
    refuted = training.refuted(np.array([0, 4]), np.array([red, blue, green, same], np.int32))
    assert refuted.tolist() == [[1.0, 0.0, 1.0, 1.0], [0.0, 1.0, 1.0, 0.0]], "blue, then red"
    silent = replace(frames, sentences=sentences, captions=np.full_like(frames.captions, 3))
    asked = Lesson.of(silent, maps, sentence_encoder(), SCENES, given.get)
    nobody = TowerTraining(asked, TowerConfig(shape=SMALL)).refuted(np.array([0]), np.array([red], np.int32))
    assert nobody.tolist() == [[0.0]], "who says nothing refutes nothing"


def test_it_learns_what_is_red_and_every_weight_takes_part(maps: list[torch.Tensor], tmp_path: Path) -> None:
    config = TowerConfig(shape=SMALL, epochs=40, batch=24, warmup=5, learning_rate=3e-3, held_out=0.25, ema_decay=0.9)
    training = TowerTraining(lesson(maps), config)
    training.loss(np.arange(12)).backward()
    silent = [name for name, weight in training.network.named_parameters() if weight.grad is None]
    assert silent == []
    losses = list(training.run())
    assert len(losses) == training.total_steps
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])
    assert len(training.held_out) == 18
    save_tower(tmp_path / "t", SMALL, training.averaged(), created_by="test", card="")
    tower = TwinTower.load(tmp_path / "t")
    frames = coloured(4, seed=5)
    seen = tower.embed_images(list(frames.images[:, 0]))
    fits = seen @ tower.embed_texts(["make it red"])[0]
    assert fits[frames.success].min() > fits[~frames.success].max()


def test_picture_itself_is_seen_beside_the_trunks_maps(maps: list[torch.Tensor]) -> None:
    network = TowerTraining(lesson(maps), TowerConfig(shape=SMALL)).network
    parts = [part[:4, 0].float() for part in maps]
    red, blue = (as_tensor(np.full((4, 128, 128, 3), colour, np.uint8)) for colour in ([200, 20, 20], [20, 20, 200]))
    assert not torch.allclose(network.see(parts, red), network.see(parts, blue), atol=1e-3)
    blind = TowerTraining(lesson(maps), TowerConfig(shape=replace(SMALL, pixels=0))).network
    torch.testing.assert_close(blind.see(parts, red), blind.see(parts, blue))


@pytest.mark.parametrize("pixels", [-16, 24, 144])
def test_picture_that_is_no_whole_number_of_places_is_refused(pixels: int) -> None:
    with pytest.raises(ConfigurationError, match="pixels must be 0 or a multiple of twice the grid 8"):
        replace(SMALL, pixels=pixels)


def test_same_seed_learns_the_same(maps: list[torch.Tensor]) -> None:
    config = TowerConfig(shape=SMALL, epochs=2, batch=24, warmup=2)
    assert list(TowerTraining(lesson(maps), config).run()) == list(TowerTraining(lesson(maps), config).run())
    other = TowerTraining(lesson(maps), replace(config, seed=1))
    assert list(other.run()) != list(TowerTraining(lesson(maps), config).run())


def test_share_of_the_data_leaves_the_held_out_episodes_alone(maps: list[torch.Tensor]) -> None:
    whole = TowerTraining(lesson(maps), TowerConfig(shape=SMALL, held_out=0.25))
    half = TowerTraining(lesson(maps), TowerConfig(shape=SMALL, held_out=0.25, share=0.5))
    np.testing.assert_array_equal(whole.held_out, half.held_out)
    assert half.total_steps <= whole.total_steps


def test_tower_is_a_model_of_images_and_text_and_knows_itself_again(tmp_path: Path) -> None:
    tower = TwinTower.load(small_tower(tmp_path / "t"))
    assert isinstance(tower, ImageTextModel)
    again, other = TwinTower.load(tmp_path / "t"), TwinTower.load(small_tower(tmp_path / "o", seed=1))
    assert tower.digest == again.digest != other.digest
    images = [np.full((128, 128, 3), 90, np.uint8), np.full((480, 640, 3), 90, np.uint8)]
    seen = tower.embed_images(images)
    np.testing.assert_allclose(np.linalg.norm(seen, axis=1), 1.0, atol=1e-5)
    np.testing.assert_allclose(seen[0], seen[1], atol=1e-4, err_msg="a plain picture is the same at any size")
    assert tower.embed_images([]).shape == (0, tower.features)
    assert tower.embed_texts(["a", "b"]).shape == (2, tower.features)
    with pytest.raises(ValueError, match="a picture is RGB"):
        tower.embed_images([np.zeros((3, 128, 128), np.uint8)])
    with pytest.raises(ValueError, match="empty"):
        tower.embed_texts([" "])


@pytest.mark.parametrize("file", [WEIGHTS, SPEC])
def test_changed_folder_is_refused(tmp_path: Path, file: str) -> None:
    folder = small_tower(tmp_path / "t")
    (folder / file).write_bytes((folder / file).read_bytes() + b" ")
    with pytest.raises(CheckpointError, match=file):
        TwinTower.load(folder)


def test_other_encoders_than_it_learnt_with_are_refused(tmp_path: Path) -> None:
    tower = TwinTower.load(small_tower(tmp_path / "t"))
    weights = tower._network.state_dict()
    with pytest.raises(ConfigurationError, match="'sentences' has SHA-256"):
        TwinTower(replace(tower.spec, sentences="0" * 64), weights)
    with pytest.raises(ConfigurationError, match="'twin_trunk' has SHA-256"):
        TwinTower(replace(tower.spec, encoders=("0" * 64,)), weights)
    with pytest.raises(ConfigurationError, match="'bias' is missing"):
        TwinTower(tower.spec, {name: tensor for name, tensor in weights.items() if name != "bias"})
    with pytest.raises(ConfigurationError, match="is not finite"):
        TwinTower(tower.spec, {**weights, "bias": torch.tensor(float("nan"))})
    with pytest.raises(ConfigurationError, match="'compact' is not trained"):
        tower_encoders(replace(SMALL, encoders=("compact",)))


def test_shape_is_in_the_folder(tmp_path: Path) -> None:
    assert json.loads((small_tower(tmp_path / "t") / SPEC).read_text())["shape"]["encoders"] == ["twin_trunk"]


@pytest.mark.parametrize(
    ("sentence", "thing"),
    [
        ("the gripper holds the red cube in the air", "the red cube"),
        ("the gripper holds the peg, which is still in its holder", "the peg"),
        ("the gripper holds the knob of the blue lid on the table", "the blue lid"),
        ("the gripper holds the bag's handle near the table", "the bag"),
        ("the gripper holds the pink block inside the red bowl", "the pink block"),
        ("the gripper has pinched the napkin, which still touches the table", "the napkin"),
        ("the gripper holds the green bottle upright in the air", "the green bottle"),
        ("the gripper is empty and the bag is on the table", NOTHING_HELD),
        ("the red cube stands on the blue cube and the gripper does not touch it", NOTHING_HELD),
        ("the drawer is closed all the way", None),
        ("the peg is inserted", None),
    ],
)
def test_what_is_held_is_read_from_a_sentence(sentence: str, thing: str | None) -> None:
    assert held_thing(sentence) == thing
