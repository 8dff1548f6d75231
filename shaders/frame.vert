#version 330 core
// A rectangle that fills the viewport, made from the vertex number alone: no buffer is needed.

out vec2 picture_place;

void main() {
    vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1);
    // The one flip: a picture's row 0 is on top, GL's is at the bottom.
    picture_place = vec2(corner.x, 1.0 - corner.y);
    gl_Position = vec4(2.0 * corner - 1.0, 0.0, 1.0);
}
