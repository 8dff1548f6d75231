"""Builds the small .blend files that the tests render; runs in a Python that has bpy.

python blender_scenes.py FOLDER
"""

# pyright: reportMissingImports=false
import math
import sys
from pathlib import Path

import bpy
from mathutils import Vector


def box(name: str, lower: tuple, upper: tuple, inward: bool = False) -> None:
    """A closed box, its faces outward or inward."""
    corners = [(x, y, z) for z in (0, 1) for y in (0, 1) for x in (0, 1)]
    low, high = Vector(lower), Vector(upper)
    points = [[low[i] + c[i] * (high[i] - low[i]) for i in range(3)] for c in corners]
    faces = [(0, 2, 3, 1), (4, 5, 7, 6), (0, 1, 5, 4), (2, 6, 7, 3), (0, 4, 6, 2), (1, 3, 7, 5)]
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata(points, [], [face[::-1] for face in faces] if inward else faces)
    material = bpy.data.materials.new(name)
    shade = 0.3 + 0.6 * (hash_of(name) % 7) / 6
    material.node_tree.nodes["Principled BSDF"].inputs["Base Color"].default_value = (
        shade,
        0.6,
        1 - shade,
        1,
    )
    mesh.materials.append(material)
    add(name, mesh)


def hash_of(name: str) -> int:
    return sum(map(ord, name))


def add(name: str, data: object) -> bpy.types.Object:
    one = bpy.data.objects.new(name, data)
    bpy.context.scene.collection.objects.link(one)
    return one


def cell(name: str, center: tuple, size: tuple) -> bpy.types.Object:
    one = add(name, None)
    one.empty_display_type, one.empty_display_size = "CUBE", 0.5
    one.location, one.scale = center, size
    return one


def room(inward: bool = True, lamp: bool = True, camera: bool = True) -> None:
    """4 x 4 x 3 around the origin, with some furniture; the camera looks along +y."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    box("walls", (-2, -2, 0), (2, 2, 3), inward)
    box("table", (-1, 0.8, 0), (0, 1.5, 0.8))
    box("shelf", (0.9, 1.2, 0), (1.8, 1.9, 2))
    if lamp:
        light = bpy.data.lights.new("lamp", "POINT")
        light.energy = 120
        add("lamp", light).location = (0, 0, 2.6)
    if camera:
        data = bpy.data.cameras.new("camera")
        data.angle = math.radians(70)
        one = add("camera", data)
        one.location, one.rotation_euler = (0, -1, 1.5), (math.radians(90), 0, 0)
        bpy.context.scene.camera = one


def nothing() -> None:
    """A scene that is quite empty."""
    bpy.ops.wm.read_factory_settings(use_empty=True)


def shining(name: str, strength: float) -> None:
    """Let a thing emit light."""
    node = bpy.data.materials[name].node_tree.nodes["Principled BSDF"]
    node.inputs["Emission Color"].default_value = (1, 1, 1, 1)
    node.inputs["Emission Strength"].default_value = strength


CENTER, SIZE = (0, -1, 1.5), (1, 0.8, 0.5)


def main(folder: Path) -> None:
    """Write all scenes."""

    def save(name: str) -> None:
        bpy.ops.wm.save_as_mainfile(filepath=str(folder / f"{name}.blend"))

    room()
    cell("view_cell", CENTER, SIZE)
    save("room")
    cell("view_cell.001", (0, 0, 1.6), (0.6, 0.6, 0.4))
    save("two_cells")

    def export(name: str) -> None:
        path = str(folder / f"{name}.glb")
        bpy.ops.export_scene.gltf(filepath=path, export_cameras=False, export_lights=False)

    room()
    export("room")
    save("no_cell")
    cell("view_cell", CENTER, SIZE)
    export("marked_room")
    shining("shelf", 0.02)
    export("dim_room")

    nothing()
    box("lawn", (-30, -30, -0.1), (30, 30, 0))
    box("house", (6, 6, 0), (10, 9, 3))
    export("house_on_a_lawn")

    sun = bpy.data.lights.new("sun", "SUN")
    sun.energy = 3
    add("sun", sun).rotation_euler = (0.7, 0, 0.2)
    path = str(folder / "house_in_the_sun.glb")
    bpy.ops.export_scene.gltf(filepath=path, export_cameras=False, export_lights=True)

    nothing()
    box("floor", (0, 0, -0.1), (4, 4, 0))
    box("wall in front", (0, -0.1, 0), (4, 0, 3))
    box("wall at the left", (-0.1, 0, 0), (0, 4, 3))
    export("corner_of_a_room")

    room()
    things = bpy.data.collections.new("things")
    for one in [one for one in bpy.context.scene.objects if one.type == "MESH"]:
        bpy.context.scene.collection.objects.unlink(one)
        things.objects.link(one)
    copy = add("copy", None)
    copy.instance_type, copy.instance_collection = "COLLECTION", things
    save("instances")

    room(inward=False)
    cell("view_cell", CENTER, SIZE)
    save("faces_outward")

    room()
    cell("view_cell", CENTER, SIZE)
    box("column", (0.1, -1.3, 0), (0.4, -0.7, 3))
    save("column")

    room()
    cell("view_cell", CENTER, SIZE)
    box("block", (-1.5, -1.9, 0), (1.5, -0.4, 2.9))
    save("walled_in")
    box("stone in the block", (0.1, -1.3, 1), (0.4, -0.7, 2))
    save("stone_in_a_wall")

    room()
    cell("view_cell", CENTER, (1, 0, 0.5))
    save("flat_cell")

    room()
    cell("view_cell", CENTER, SIZE).rotation_euler = (0, 0, 0.3)
    save("turned_cell")

    room(camera=False)
    cell("view_cell", CENTER, SIZE)
    save("no_camera")

    room(lamp=False)
    cell("view_cell", CENTER, SIZE)
    save("no_lamp")


if __name__ == "__main__":
    main(Path(sys.argv[-1]))
