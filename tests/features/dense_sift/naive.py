"""Dense SIFT as its definitions read, in plain loops and double precision: slow, and easy to check."""

from __future__ import annotations

import numpy as np


def fast_angle(gy, gx):
    """VLFeat's approximation of atan2."""
    tall = abs(gy) + 1.19209290e-07
    ratio = (gx - tall) / (gx + tall) if gx >= 0 else (gx + tall) / (tall - gx)
    angle = (np.pi / 4 if gx >= 0 else 3 * np.pi / 4) + (0.1821 * ratio * ratio - 0.9675) * ratio
    return -angle if gy < 0 else angle


def lowe_votes(grey, bins, angle):
    height, width = grey.shape
    votes = np.zeros((height, width, bins))
    for y in range(height):
        for x in range(width):
            xs, ys = (max(x - 1, 0), min(x + 1, width - 1)), (max(y - 1, 0), min(y + 1, height - 1))
            gx = (grey[y, xs[1]] - grey[y, xs[0]]) / max(xs[1] - xs[0], 1)
            gy = (grey[ys[1], x] - grey[ys[0], x]) / max(ys[1] - ys[0], 1)
            size, turn = np.hypot(gx, gy), angle(gy, gx) % (2 * np.pi) * bins / (2 * np.pi)
            low = int(np.floor(turn))
            votes[y, x, low % bins] += (1 - (turn - low)) * size
            votes[y, x, (low + 1) % bins] += (turn - low) * size
    return votes


def starts(size, step, cell, border):
    """The first cell's pixel of each frame, before it is brought into the image."""
    if border == "keep":
        return [x - (3 * cell) // 2 for x in range(0, size, step)]
    return list(range(0, size - 3 * cell, step))


def lowe(grey, step=1, cell=4, window="flat", bins=8, border="cut", window_size=2.0, angle=fast_angle):
    """(ny, nx, 16 * bins) from (H, W) in [0, 1]."""
    votes, reach = lowe_votes(grey, bins, angle), range(1 - cell, cell)
    height, width = grey.shape

    def weight(i, k):
        return np.exp(-0.5 * ((k + cell * (i - 1.5)) / (cell * window_size)) ** 2)

    def taps(i):
        mean = np.mean([weight(i, k) for k in reach])
        return [(1 - abs(k) / cell) * (mean if window == "flat" else weight(i, k)) for k in reach]

    frames = []
    for y0 in starts(height, step, cell, border):
        for x0 in starts(width, step, cell, border):
            cells = []
            for j in range(4):
                for i in range(4):
                    y, x = np.clip(y0 + j * cell, 0, height - 1), np.clip(x0 + i * cell, 0, width - 1)
                    total = np.zeros(bins)
                    for dy, wy in zip(reach, taps(j)):
                        for dx, wx in zip(reach, taps(i)):
                            total += wy * wx * votes[np.clip(y + dy, 0, height - 1), np.clip(x + dx, 0, width - 1)]
                    cells.append(total)
            d = np.concatenate(cells)
            d = np.minimum(d / (np.linalg.norm(d) + 1.19209290e-07), 0.2)
            frames.append(d / (np.linalg.norm(d) + 1.19209290e-07))
    return np.array(frames).reshape(len(starts(height, step, cell, border)), -1, 16 * bins)


def liu(image, step=1, cell=2, bins=8, shifted=False):
    """(ny, nx, 16 * bins) from (H, W, C) in [0, 1], a frame at every step-th pixel."""
    height, width, channels = image.shape
    energy, sobel = np.zeros((height, width, bins)), np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    padded = np.pad(image, ((1, 1), (1, 1), (0, 0)), "edge")
    for y in range(height):
        for x in range(width):
            part = padded[y : y + 3, x : x + 3]
            found = [((part[:, :, c] * sobel).sum(), (part[:, :, c] * sobel.T).sum()) for c in range(channels)]
            dx, dy = max(found, key=lambda g: round(g[0] ** 2 + g[1] ** 2, 9))
            size = np.hypot(dx, dy)
            for b in range(bins):
                t = 2 * np.pi * b / bins
                across = (np.cos(t) * dx + np.sin(t) * dy) / (size + 1e-10)
                energy[y, x, b] = max(0, across) ** 9 * size
    taps = [0.25, 0, *[1] * cell] if shifted else [0.25, *[1] * cell, 0.25]
    for axis, size in ((1, width), (0, height)):
        at = [np.clip(np.arange(size) - cell + k, 0, size - 1) for k in range(len(taps))]
        energy = sum(w * np.take(energy, a, axis) for w, a in zip(taps, at))
    ys, xs = range(0, height, step), range(0, width, step)
    out = np.zeros((len(ys), len(xs), 16 * bins))
    for m, y in enumerate(ys):
        for n, x in enumerate(xs):
            for i in range(-1, 3):
                for j in range(-1, 3):
                    at, first = np.clip(y + i * cell, 0, height - 1), (4 * (i + 1) + j + 1) * bins
                    out[m, n, first : first + bins] = energy[at, np.clip(x + j * cell, 0, width - 1)]
            out[m, n] /= np.linalg.norm(out[m, n]) + 0.01
    return out
