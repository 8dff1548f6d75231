"""Builds the example scene: a small gallery with a window, some furniture and two view cells.

    python gallery_script.py --out gallery.blend      (a Python that has the module bpy)
    blender -b -P gallery_script.py -- --out gallery.blend

Everything in it is made here, shapes by formulas and surfaces by Blender's own textures; nothing is
downloaded. Open the file in Blender to see how view cells are drawn. MIT license.
"""

# pyright: reportMissingImports=false
from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bpy
import numpy as np

Place = tuple[float, float, float]
Color = tuple[float, float, float]

WIDTH, DEPTH, HEIGHT = 6.4, 5.0, 3.0
"""The room in meters: x to both sides of 0, y from the wall behind the cells, z from the floor."""
WINDOW = ((-0.9, 0.95), (0.9, 2.35))
"""x and z of its lower left and upper right corner, in the far wall."""
CELLS: dict[str, tuple[Place, Place, float]] = {
    "view_cell": ((-0.8, 1.1, 1.5), (1.6, 1.2, 0.5), 18.0),
    "view_cell.001": ((0.8, 1.1, 1.5), (1.6, 1.2, 0.5), -22.0),
}
"""Center, size and the yaw of the camera, in degrees to the left of +y; they share one face."""


def main(words: Sequence[str]) -> None:
    """Build the scene and save it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.blend")
    out = parser.parse_known_args(words)[0].out.resolve()
    bpy.ops.wm.read_factory_settings(use_empty=True)
    build_room()
    build_window()
    build_pictures()
    build_sculptures()
    build_furniture()
    build_plant((-2.6, 4.3, 0.0))
    build_lights()
    for name, (center, size, yaw_deg) in CELLS.items():
        mark_cell(name, center, size, yaw_deg)
    out.parent.mkdir(parents=True, exist_ok=True)
    beside = out.with_name(f".{out.name}")
    bpy.ops.wm.save_as_mainfile(filepath=str(beside), compress=True)
    beside.replace(out)


def build_room() -> None:
    """Floor of planks, plastered walls with a skirting board, ceiling."""
    x, y, z, thick = WIDTH / 2, DEPTH, HEIGHT, 0.2
    plaster = surface("plaster", (0.80, 0.77, 0.71), (0.86, 0.83, 0.78), roughness=0.9, scale=3)
    blue = surface("blue wall", (0.10, 0.20, 0.28), (0.13, 0.24, 0.32), roughness=0.9, scale=3)
    box("floor", (-x, 0, -thick), (x, y, 0), planks())
    box("ceiling", (-x, 0, z), (x, y, z + thick), plaster)
    box("wall behind", (-x, -thick, 0), (x, 0, z), plaster)
    box("wall left", (-x - thick, -thick, 0), (-x, y + thick, z), blue)
    box("wall right", (x, -thick, 0), (x + thick, y + thick, z), plaster)
    (left, low), (right, high) = WINDOW
    box("wall left of window", (-x, y, 0), (left, y + thick, z), plaster)
    box("wall right of window", (right, y, 0), (x, y + thick, z), plaster)
    box("wall under window", (left, y, 0), (right, y + thick, low), plaster)
    box("wall over window", (left, y, high), (right, y + thick, z), plaster)
    white = plain("white paint", (0.85, 0.85, 0.82), 0.4)
    box("skirting far", (-x, y - 0.02, 0), (x, y, 0.12), white)
    box("skirting left", (-x, 0, 0), (-x + 0.02, y, 0.12), white)
    box("skirting right", (x - 0.02, 0, 0), (x, y, 0.12), white)


def build_window() -> None:
    """A frame with one cross and a sill; no glass, so that depth reaches the sky."""
    (left, low), (right, high) = WINDOW
    white, y = plain("window frame", (0.88, 0.88, 0.86), 0.4), DEPTH + 0.08
    middle, half, bar = (left + right) / 2, (low + high) / 2, 0.03
    for name, lower, upper in (
        ("frame left", (left, low), (left + 0.06, high)),
        ("frame right", (right - 0.06, low), (right, high)),
        ("frame under", (left, low), (right, low + 0.06)),
        ("frame over", (left, high - 0.06), (right, high)),
        ("bar up", (middle - bar, low), (middle + bar, high)),
        ("bar across", (left, half - bar), (right, half + bar)),
    ):
        box(name, (lower[0], y, lower[1]), (upper[0], y + 0.06, upper[1]), white)
    box("sill", (left - 0.08, DEPTH - 0.14, low - 0.05), (right + 0.08, DEPTH + 0.1, low), white)


def build_pictures() -> None:
    """Three paintings by textures, in frames."""
    x, black = WIDTH / 2, plain("black wood", (0.02, 0.02, 0.02), 0.4)
    waves = painting(
        "waves",
        "ShaderNodeTexWave",
        {"Scale": 1.4, "Distortion": 9.0, "Detail": 3.0},
        [(0.02, 0.07, 0.16), (0.05, 0.35, 0.45), (0.85, 0.80, 0.60)],
    )
    cells = painting(
        "cells",
        "ShaderNodeTexVoronoi",
        {"Scale": 5.0},
        [(0.75, 0.12, 0.05), (0.90, 0.55, 0.10), (0.15, 0.10, 0.25)],
    )
    clouds = painting(
        "clouds",
        "ShaderNodeTexNoise",
        {"Scale": 2.5, "Detail": 2.0},
        [(0.10, 0.25, 0.12), (0.60, 0.62, 0.30), (0.92, 0.88, 0.78)],
    )
    far, rim = DEPTH, 0.05
    for name, cloth, lower, upper in (
        ("waves", waves, (-2.75, 1.15), (-1.45, 2.05)),
        ("cells", cells, (1.45, 1.05), (2.55, 2.15)),
    ):
        box(
            f"frame of {name}",
            (lower[0] - rim, far - 0.04, lower[1] - rim),
            (upper[0] + rim, far, upper[1] + rim),
            black,
        )
        box(name, (lower[0], far - 0.05, lower[1]), (upper[0], far - 0.03, upper[1]), cloth)
    box("frame of clouds", (-x, 2.15, 1.05), (-x + 0.04, 3.75, 2.15), black)
    box("clouds", (-x + 0.03, 2.2, 1.1), (-x + 0.05, 3.7, 2.1), clouds)


def build_sculptures() -> None:
    """A knot and a stack of stones on plinths."""
    stone = surface("plinth", (0.72, 0.71, 0.69), (0.80, 0.79, 0.77), roughness=0.8, scale=8)
    box("plinth left", (-1.55, 3.25, 0), (-1.1, 3.7, 0.95), stone)
    box("plinth right", (1.5, 3.0, 0), (1.95, 3.45, 0.8), stone)
    turn = np.linspace(0, 2 * math.pi, 240, endpoint=False)
    ring = 0.13 + 0.055 * np.cos(3 * turn)
    path = np.stack(
        (ring * np.cos(2 * turn), ring * np.sin(2 * turn), 0.075 * np.sin(3 * turn)), -1
    )
    brass = plain("brass", (0.80, 0.52, 0.18), 0.35, metallic=1.0)
    tube("knot", path[:, [0, 2, 1]] * 1.25 + (-1.325, 3.475, 1.17), 0.032, brass)
    marble = surface("marble", (0.55, 0.20, 0.14), (0.85, 0.70, 0.62), roughness=0.3, scale=6)
    height = 0.8
    for index, radius in enumerate((0.17, 0.125, 0.09)):
        wide = lathe(
            f"stone {index}",
            [
                (radius * math.sin(a), 0.75 * radius * (1 - math.cos(a)))
                for a in np.linspace(0.02, math.pi - 0.02, 24)
            ],
            marble,
        )
        wide.location = (1.725, 3.225, height)
        height += 1.48 * radius


def build_furniture() -> None:
    """A bench on a rug, a low table with a bowl, a lamp on a stand."""
    wood = surface(
        "oak", (0.36, 0.20, 0.09), (0.50, 0.31, 0.15), roughness=0.5, scale=4, stretch=12
    )
    steel = plain("steel", (0.10, 0.10, 0.11), 0.35, metallic=0.8)
    rug = painting(
        "rug",
        "ShaderNodeTexWave",
        {"Scale": 2.2, "Distortion": 1.0},
        [(0.32, 0.05, 0.06), (0.55, 0.30, 0.18), (0.12, 0.10, 0.16)],
        rings=True,
    )
    box("rug", (-1.05, 2.2, 0), (1.05, 3.6, 0.012), rug)
    box("bench", (-0.75, 2.7, 0.40), (0.75, 3.12, 0.46), wood)
    for side in (-0.62, 0.56):
        box("bench leg", (side, 2.74, 0), (side + 0.06, 3.08, 0.40), steel)
    box("table", (2.2, 3.9, 0.45), (3.0, 4.6, 0.5), wood)
    for x in (2.24, 2.92):
        for y in (3.94, 4.52):
            box("table leg", (x, y, 0), (x + 0.04, y + 0.04, 0.45), steel)
    clay = plain("clay", (0.10, 0.30, 0.32), 0.25)
    outer = [(0.05, 0), (0.13, 0.05), (0.17, 0.12), (0.18, 0.16)]
    bowl = lathe("bowl", [*outer, *[(r - 0.012, z + 0.005) for r, z in reversed(outer)]], clay)
    bowl.location = (2.6, 4.25, 0.5)
    foot = lathe("lamp foot", [(0, 0.03), (0.15, 0.03), (0.16, 0), (0, 0)][::-1], steel)
    foot.location = (2.75, 2.4, 0)
    tube("lamp pole", np.array([(2.75, 2.4, z) for z in np.linspace(0, 1.6, 12)]), 0.012, steel)
    shade = lathe("lamp shade", [(0.20, 0), (0.13, 0.28)], glowing((1.0, 0.78, 0.5), 3.0))
    shade.location = (2.75, 2.4, 1.5)


def build_plant(place: Place) -> None:
    """A pot with bent leaves around a stem."""
    pot = lathe(
        "pot",
        [(0, 0), (0.16, 0), (0.22, 0.36), (0.2, 0.36), (0.19, 0.32), (0, 0.32)],
        plain("pot", (0.62, 0.30, 0.18), 0.7),
    )
    pot.location = place
    green = surface("leaf", (0.03, 0.14, 0.04), (0.08, 0.26, 0.07), roughness=0.45, scale=12)
    random = np.random.default_rng(7)
    for index in range(26):
        bearing, reach = 2.4 * index + random.uniform(-0.3, 0.3), random.uniform(0.3, 0.5)
        rise, start = random.uniform(0.25, 0.75), 0.32 + 0.025 * index
        along = np.linspace(0, 1, 9)
        out = reach * along
        up = start + rise * along - 0.9 * rise * along**2.2
        half = 0.065 * np.sin(math.pi * np.clip(along, 0.02, 0.99)) ** 0.8
        ahead = np.array((math.cos(bearing), math.sin(bearing)))
        aside = np.array((-ahead[1], ahead[0]))
        edge = [
            np.column_stack((out[:, None] * ahead + side * half[:, None] * aside, up))
            for side in (-1, 1)
        ]
        grid("leaf", np.stack(edge, axis=1) + place, green)
    stem = np.array([(0, 0, z) for z in np.linspace(0.3, 0.95, 6)]) + place
    tube("stem", stem, 0.018, plain("bark", (0.16, 0.10, 0.05), 0.9))


def build_lights() -> None:
    """Sun and sky through the window, two soft lamps under the ceiling."""
    scene = bpy.context.scene
    scene.view_settings.view_transform = "Standard"
    scene.world = bpy.data.worlds.new("sky")
    nodes, links = scene.world.node_tree.nodes, scene.world.node_tree.links
    ramp, split = nodes.new("ShaderNodeValToRGB"), nodes.new("ShaderNodeSeparateXYZ")
    where = nodes.new("ShaderNodeTexCoord")
    color_ramp(ramp, [(0.52, 0.68, 0.86), (0.26, 0.46, 0.82), (0.12, 0.28, 0.70)])
    links.new(where.outputs["Generated"], split.inputs[0])
    links.new(split.outputs["Z"], ramp.inputs[0])
    links.new(ramp.outputs[0], nodes["Background"].inputs["Color"])
    nodes["Background"].inputs["Strength"].default_value = 1.0
    sun = bpy.data.lights.new("sun", "SUN")
    sun.energy, sun.angle, sun.color = 4.0, math.radians(2), (1.0, 0.92, 0.8)
    add("sun", sun).rotation_euler = (math.radians(-48), math.radians(-14), 0)
    for x in (-1.6, 1.6):
        panel = bpy.data.lights.new("panel", "AREA")
        panel.shape, panel.size, panel.size_y, panel.energy = "RECTANGLE", 1.6, 2.4, 45
        one = add("panel", panel)
        one.location, one.visible_camera = (x, 2.4, HEIGHT - 0.02), False


def mark_cell(name: str, center: Place, size: Place, yaw_deg: float) -> None:
    """An empty cube for the cell, and a camera in it for the base direction."""
    cube = add(name, None)
    cube.empty_display_type, cube.empty_display_size = "CUBE", 0.5
    cube.location, cube.scale = center, size
    data = bpy.data.cameras.new(f"camera of {name}")
    data.sensor_fit, data.angle = "HORIZONTAL", math.radians(70)
    camera = add(f"camera of {name}", data)
    camera.location = center
    camera.rotation_euler = (math.radians(85), 0, math.radians(yaw_deg))
    bpy.context.scene.camera = bpy.context.scene.camera or camera


# Shapes


def add(name: str, data: Any) -> Any:
    """A new object in the scene."""
    one = bpy.data.objects.new(name, data)
    bpy.context.scene.collection.objects.link(one)
    return one


def shape(name: str, points: Any, faces: Any, material: Any, is_smooth: bool) -> Any:
    """A mesh of (P, 3) points and faces of their indices."""
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata(np.asarray(points, dtype=float).tolist(), [], faces)
    mesh.materials.append(material)
    if is_smooth:
        mesh.shade_smooth()
    return add(name, mesh)


def box(name: str, lower: Place, upper: Place, material: Any) -> Any:
    """An axis-aligned box with faces outward."""
    corners = [(x, y, z) for z in (0, 1) for y in (0, 1) for x in (0, 1)]
    points = np.array(lower) + np.array(corners) * (np.array(upper) - np.array(lower))
    faces = [(0, 2, 3, 1), (4, 5, 7, 6), (0, 1, 5, 4), (2, 6, 7, 3), (0, 4, 6, 2), (1, 3, 7, 5)]
    return shape(name, points, faces, material, is_smooth=False)


def grid(
    name: str, points: np.ndarray, material: Any, wraps: tuple[bool, bool] = (False, False)
) -> Any:
    """A smooth surface through (N, M, 3) points; wraps: whether its ends meet, along N and M."""
    n, m = points.shape[:2]
    rows, columns = (
        range(size if wrap else size - 1) for size, wrap in zip((n, m), wraps, strict=True)
    )
    faces = [
        (i * m + j, (i + 1) % n * m + j, (i + 1) % n * m + (j + 1) % m, i * m + (j + 1) % m)
        for i in rows
        for j in columns
    ]
    return shape(name, points.reshape(-1, 3), faces, material, is_smooth=True)


def lathe(name: str, profile: Sequence[tuple[float, float]], material: Any) -> Any:
    """A profile of (radius, height) turned around z; upwards on its outer side."""
    turn = np.linspace(0, 2 * math.pi, 48, endpoint=False)
    radius, height = np.array(profile).T
    x, y = radius[:, None] * np.cos(turn), radius[:, None] * np.sin(turn)
    points = np.stack((x, y, np.broadcast_to(height[:, None], x.shape)), axis=-1)
    return grid(name, points.swapaxes(0, 1), material, wraps=(True, False))


def tube(name: str, path: np.ndarray, radius: float, material: Any) -> Any:
    """A round tube along (N, 3) points; it is closed when they are far more than its ends apart."""
    is_ring = bool(np.linalg.norm(path[0] - path[-1]) < 3 * np.linalg.norm(path[1] - path[0]))
    ahead = np.gradient(path, axis=0)
    if is_ring:
        ahead = np.roll(path, -1, axis=0) - np.roll(path, 1, axis=0)
    ahead /= np.linalg.norm(ahead, axis=1, keepdims=True)
    aside = np.cross(ahead, (0.31, 0.47, 0.83))
    aside /= np.linalg.norm(aside, axis=1, keepdims=True)
    turn = np.linspace(0, 2 * math.pi, 20, endpoint=False)[:, None]
    circle = np.cos(turn) * aside[:, None] + np.sin(turn) * np.cross(ahead, aside)[:, None]
    return grid(name, path[:, None] + radius * circle, material, wraps=(is_ring, True))


# Surfaces


def plain(name: str, color: Color, roughness: float, metallic: float = 0.0) -> Any:
    """One color."""
    material, shader = new_material(name)
    shader.inputs["Base Color"].default_value = (*color, 1)
    shader.inputs["Roughness"].default_value = roughness
    shader.inputs["Metallic"].default_value = metallic
    return material


def glowing(color: Color, strength: float) -> Any:
    """Something that shines."""
    material, shader = new_material("glow")
    shader.inputs["Emission Color"].default_value = (*color, 1)
    shader.inputs["Emission Strength"].default_value = strength
    return material


def surface(
    name: str, dark: Color, light: Color, roughness: float, scale: float, stretch: float = 1.0
) -> Any:
    """Cloudy between two colors; stretch draws the clouds out along x."""
    material, shader = new_material(name)
    texture = textured(
        material, "ShaderNodeTexNoise", {"Scale": scale, "Detail": 6.0}, (1 / stretch, 1, 1)
    )
    ramp = material.node_tree.nodes.new("ShaderNodeValToRGB")
    color_ramp(ramp, [dark, light])
    material.node_tree.links.new(texture.outputs[0], ramp.inputs[0])
    material.node_tree.links.new(ramp.outputs[0], shader.inputs["Base Color"])
    shader.inputs["Roughness"].default_value = roughness
    return material


def planks() -> Any:
    """A floor of boards, each of its own brown."""
    material, shader = new_material("planks")
    settings = {"Scale": 1.0, "Brick Width": 1.1, "Row Height": 0.14, "Mortar Size": 0.004}
    texture = textured(material, "ShaderNodeTexBrick", settings)
    texture.inputs["Color1"].default_value = (0.30, 0.15, 0.07, 1)
    texture.inputs["Color2"].default_value = (0.44, 0.25, 0.12, 1)
    texture.inputs["Mortar"].default_value = (0.06, 0.03, 0.02, 1)
    material.node_tree.links.new(texture.outputs[0], shader.inputs["Base Color"])
    shader.inputs["Roughness"].default_value = 0.45
    return material


def painting(
    name: str, kind: str, settings: dict[str, float], colors: list[Color], rings: bool = False
) -> Any:
    """A texture as a picture of some colors."""
    material, shader = new_material(name)
    texture = textured(material, kind, settings)
    if rings:
        texture.wave_type, texture.rings_direction = "RINGS", "Z"
    ramp = material.node_tree.nodes.new("ShaderNodeValToRGB")
    color_ramp(ramp, colors)
    value = next(out for out in texture.outputs if out.type == "VALUE" and out.enabled)
    material.node_tree.links.new(value, ramp.inputs[0])
    material.node_tree.links.new(ramp.outputs[0], shader.inputs["Base Color"])
    shader.inputs["Roughness"].default_value = 0.7
    return material


def new_material(name: str) -> tuple[Any, Any]:
    """A material and its shader node."""
    material = bpy.data.materials.new(name)
    return material, material.node_tree.nodes["Principled BSDF"]


def textured(material: Any, kind: str, settings: dict[str, float], scale: Color = (1, 1, 1)) -> Any:
    """A texture node over the object's own coordinates, in meters."""
    nodes, links = material.node_tree.nodes, material.node_tree.links
    texture, where, mapping = (
        nodes.new(kind),
        nodes.new("ShaderNodeTexCoord"),
        nodes.new("ShaderNodeMapping"),
    )
    mapping.inputs["Scale"].default_value = scale
    links.new(where.outputs["Object"], mapping.inputs[0])
    links.new(mapping.outputs[0], texture.inputs["Vector"])
    for key, value in settings.items():
        texture.inputs[key].default_value = value
    return texture


def color_ramp(node: Any, colors: Sequence[Color]) -> None:
    """Colors at equal distances, blended."""
    elements = node.color_ramp.elements
    while len(elements) < len(colors):
        elements.new(0.5)
    for index, color in enumerate(colors):
        elements[index].position = index / (len(colors) - 1)
        elements[index].color = (*color, 1)


if __name__ == "__main__":
    main(sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else sys.argv[1:])
