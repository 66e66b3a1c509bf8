"""Medians, and how sure they are: no distribution is assumed."""

import math
from statistics import median

__all__ = ["median", "upper_bound", "lower_bound", "interval", "slope"]


def upper_bound(values, confidence=0.95):
    """The least value that the true median is below with this confidence (sign test); None if too few."""
    ordered = sorted(values)
    for rank in range(1, len(ordered) + 1):
        if 1 - _binomial_tail(len(ordered), rank) >= confidence:
            return ordered[rank - 1]
    return None


def lower_bound(values, confidence=0.95):
    """The greatest value that the true median is above with this confidence; None if too few."""
    found = upper_bound([-value for value in values], confidence)
    return None if found is None else -found


def interval(values, confidence=0.95):
    """Both bounds, with this confidence together."""
    each = 1 - (1 - confidence) / 2
    return lower_bound(values, each), upper_bound(values, each)


def _binomial_tail(count, least):
    """The probability of at least `least` heads in `count` throws: of the median being above that rank."""
    return sum(math.comb(count, heads) for heads in range(least, count + 1)) / 2**count


def slope(points):
    """The exponent of the power law through (x, y), by least squares of the logarithms."""
    xs, ys = [math.log(x) for x, _ in points], [math.log(y) for _, y in points]
    x_mean, y_mean = sum(xs) / len(xs), sum(ys) / len(ys)
    return sum((x - x_mean) * (y - y_mean) for x, y in zip(xs, ys)) / sum((x - x_mean) ** 2 for x in xs)
