#version 330 core
// Presents one value a pixel (a distance, an entropy, an error) as a color of the ramp.

const int STEPS = 7;

uniform sampler2D picture;
uniform vec3 ramp[STEPS];
uniform vec2 ends;  // the values at the first and the last color; logarithms if so told
uniform bool is_logarithmic;

in vec2 picture_place;
out vec4 color;

void main() {
    float value = texture(picture, picture_place).r;
    if (is_logarithmic) {
        value = log(max(value, 1e-6));
    }
    float place = clamp((value - ends.x) / (ends.y - ends.x), 0.0, 1.0) * float(STEPS - 1);
    int below = min(int(place), STEPS - 2);
    color = vec4(mix(ramp[below], ramp[below + 1], place - float(below)), 1.0);
}
