#version 330 core
// Presents a rendered picture, whose colors are sRGB already, with more or less light.

uniform sampler2D picture;
uniform float gain;

in vec2 picture_place;
out vec4 color;

vec3 linear_from_srgb(vec3 c) {
    return mix(c / 12.92, pow((c + 0.055) / 1.055, vec3(2.4)), step(0.04045, c));
}

vec3 srgb_from_linear(vec3 c) {
    return mix(12.92 * c, 1.055 * pow(c, vec3(1.0 / 2.4)) - 0.055, step(0.0031308, c));
}

void main() {
    color = texture(picture, picture_place);
    // Without exposure the picture comes out as it went in, to the last bit.
    if (gain != 1.0) {
        color.rgb = srgb_from_linear(clamp(gain * linear_from_srgb(color.rgb), 0.0, 1.0));
    }
}
