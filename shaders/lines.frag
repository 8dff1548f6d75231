#version 330 core
// One color for all lines.

uniform vec4 ink;

out vec4 color;

void main() {
    color = ink;
}
