#version 330 core
// Presents a rendered picture, whose colors are sRGB already.

uniform sampler2D picture;

in vec2 picture_place;
out vec4 color;

void main() {
    color = texture(picture, picture_place);
}
