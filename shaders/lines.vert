#version 330 core
// Lines in the world. A fourth number of 0 makes a place a direction, infinitely far away.

uniform mat4 clip_from_world;

in vec4 place;

void main() {
    gl_Position = clip_from_world * place;
}
