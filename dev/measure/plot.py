"""docs/performance.svg: time against the number of migrations, both logarithmic; drawn by hand, no assets."""

import math

WIDTH, HEIGHT = 900, 520
LEFT, RIGHT, TOP, BOTTOM = 70, 200, 20, 60

# Told apart on white and on black, and without colours by the dashes.
COLOURS = ("#e4572e", "#3a86c8", "#2a9d8f", "#c77d0a", "#9b5de5", "#d1478c", "#6c8c3c", "#7a7f87", "#1fa3b5", "#a0674b")
DASHES = ("", "6 3", "2 3", "8 3 2 3", "", "6 3", "2 3", "8 3 2 3", "", "6 3")

STYLE = """\
text { font: 13px system-ui, sans-serif; fill: #333 }
.frame, .grid { stroke: #888; fill: none }
.grid { opacity: .25 }
@media (prefers-color-scheme: dark) { text { fill: #ddd } }
"""


def draw(series):
    """The text of the picture: `series` has the points (migrations, seconds) by the tool's title, ours first."""
    points = [point for line in series.values() for point in line]
    x_of = _scale([x for x, _ in points], LEFT, WIDTH - RIGHT)
    y_of = _scale([y for _, y in points], HEIGHT - BOTTOM, TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        "<title>Seconds against number of migrations, by tool</title>",
        f"<style>{STYLE}</style>",
        *_axis(x_of, y_of, points),
    ]
    labels = _apart([(y_of(line[-1][1]), title) for title, line in series.items()])
    for number, (title, line) in enumerate(series.items()):
        colour, dash = COLOURS[number % len(COLOURS)], DASHES[number % len(DASHES)]
        path = " ".join(f"{x_of(x):.1f},{y_of(y):.1f}" for x, y in line)
        width = 3.5 if number == 0 else 1.8
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}" stroke-dasharray="{dash}"/>'
        )
        parts += [f'<circle cx="{x_of(x):.1f}" cy="{y_of(y):.1f}" r="3.5" fill="{colour}"/>' for x, y in line]
        end = x_of(line[-1][0])
        edge = WIDTH - RIGHT
        parts.append(
            f'<path d="M{end:.1f} {y_of(line[-1][1]):.1f} L{edge + 14} {labels[title]:.1f}" stroke="{colour}" '
            'stroke-width="0.7" opacity=".5" fill="none"/>'
        )
        weight = ' font-weight="700"' if number == 0 else ""
        parts.append(f'<text x="{edge + 18}" y="{labels[title] + 4:.1f}" style="fill:{colour}"{weight}>{title}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _scale(values, start, end):
    low, high = math.log10(min(values)), math.log10(max(values))
    low, high = math.floor(low * 2) / 2, math.ceil(high * 2) / 2
    return lambda value: start + (math.log10(value) - low) / (high - low) * (end - start)


def _axis(x_of, y_of, points):
    parts = [f'<rect class="frame" x="{LEFT}" y="{TOP}" width="{WIDTH - LEFT - RIGHT}" height="{HEIGHT - TOP - BOTTOM}"/>']
    for exponent in range(0, 6):
        x = x_of(10**exponent)
        if LEFT - 1 <= x <= WIDTH - RIGHT + 1:
            parts.append(f'<path class="grid" d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}"/>')
            parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle">{10**exponent:,}</text>')
    for exponent in range(-3, 4):
        y = y_of(10.0**exponent)
        if TOP - 1 <= y <= HEIGHT - BOTTOM + 1:
            parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
            parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{10.0**exponent:g} s</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text x="{middle:.0f}" y="{HEIGHT - 14}" text-anchor="middle">migrations in one `up`</text>')
    return parts


def _apart(wanted, distance=17):
    """Heights for the labels, as near as can be to the wanted ones without touching."""
    placed, height = {}, TOP - distance
    for y, title in sorted(wanted):
        height = max(y, height + distance)
        placed[title] = height
    over = height - (HEIGHT - BOTTOM)
    limit = HEIGHT - BOTTOM
    if over > 0:
        for _, title in sorted(wanted, reverse=True):
            placed[title] = min(placed[title], limit)
            limit = placed[title] - distance
    return placed
