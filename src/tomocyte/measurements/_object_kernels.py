"""The loops over the runs of all objects that need compiling; nothing here knows what a measurement is.

The runs are those of :class:`tomocyte.measurements._label_runs.LabelRuns`. To derive another number of every object,
write a function that loops over ``first`` and decorate it with
:func:`~tomocyte.measurements._kernels.compiled`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.measurements._kernels import Integers, Runs, Shape, compiled, count_all_crossings, mirror_runs

Indices = NDArray[np.int32]
STRIDE = 16
MOST_CLASSES = 1024
FEW = 64


@compiled
def count_runs(rows: NDArray[Any]) -> Integers:
    """At least the number of runs of one label other than 0 in each of the rows (n, X); 0 where there is none."""
    counts = np.zeros(rows.shape[0], np.int64)
    for row in range(rows.shape[0]):
        line = rows[row]
        changes = np.uint32(0)
        for x in range(1, line.size):
            changes += np.uint32(line[x] != line[x - 1])
        if changes > 0 or (line.size > 0 and line[0] != 0):
            counts[row] = changes + 1
    return counts


@compiled
def find_runs(rows: NDArray[Any], first_row: int, most: Integers) -> tuple[Indices, Indices, Indices, NDArray[Any]]:
    """Row, start, stop and label of every run of one label other than 0, in raster order.

    ``most`` is what :func:`count_runs` gives.
    """
    n = most.sum() + 1
    row_of = np.empty(n, np.int32)
    starts = np.empty(n, np.int32)
    stops = np.empty(n, np.int32)
    labels = np.empty(n, rows.dtype)
    n_x = rows.shape[1]
    n_strides = max(0, n_x - 1) // STRIDE
    edges = np.zeros(n_x + 1, np.int32)
    n = 0
    for row in range(rows.shape[0]):
        if most[row] == 0:
            continue
        line = rows[row]
        n_edges = 1
        # Voxels are compared with their neighbours in strides, side by side; few strides hold an edge.
        for stride in range(n_strides):
            x = 1 + STRIDE * stride
            differences = np.uint32(0)
            for step in range(STRIDE):
                differences += np.uint32(line[x + step] != line[x + step - 1])
            if differences > 0:
                for step in range(STRIDE):
                    edges[n_edges] = x + step
                    n_edges += int(line[x + step] != line[x + step - 1])
        for x in range(1 + STRIDE * n_strides, n_x):
            edges[n_edges] = x
            n_edges += int(line[x] != line[x - 1])
        edges[n_edges] = n_x
        for edge in range(n_edges):
            label = line[edges[edge]]
            # Written always, kept where it is an object: cheaper than a branch that is taken every other time.
            row_of[n] = first_row + row
            starts[n] = edges[edge]
            stops[n] = edges[edge + 1]
            labels[n] = label
            n += int(label != 0)
    return row_of[:n].copy(), starts[:n].copy(), stops[:n].copy(), labels[:n].copy()


@compiled
def place_runs(
    index: Indices,
    found: tuple[Indices, Indices, Indices],
    next_place: Integers,
    places: tuple[Indices, Indices, Indices],
) -> None:
    """Copy the runs ``found`` (row, start, stop) to where those of their objects ``index`` go on, which is moved on."""
    for run in range(index.size):
        place = next_place[index[run]]
        next_place[index[run]] += 1
        places[0][place] = found[0][run]
        places[1][place] = found[1][run]
        places[2][place] = found[2][run]


@compiled
def object_boxes(n_y: int, first: Integers, rows: Indices, starts: Indices, stops: Indices) -> Integers:
    """Bounding boxes (n, 6: z, y, x start and stop)."""
    boxes = np.empty((first.size - 1, 6), np.int64)
    for one in range(first.size - 1):
        low_y, low_x, high_y, high_x = n_y, np.int64(2**62), 0, 0
        for run in range(first[one], first[one + 1]):
            y = rows[run] % n_y
            low_y = min(low_y, y)
            high_y = max(high_y, y + 1)
            low_x = min(low_x, starts[run])
            high_x = max(high_x, stops[run])
        boxes[one, 0] = rows[first[one]] // n_y
        boxes[one, 1] = rows[first[one + 1] - 1] // n_y + 1
        boxes[one, 2], boxes[one, 3], boxes[one, 4], boxes[one, 5] = low_y, high_y, low_x, high_x
    return boxes


@compiled
def object_sums(n_y: int, first: Integers, rows: Indices, starts: Indices, stops: Indices, boxes: Integers) -> Integers:
    """Exact sums (n, 10) over each object's voxels, from the corner of its box: 1, z, y, x, zz, yy, xx, zy, zx, yx."""
    sums = np.zeros((first.size - 1, 10), np.int64)
    for one in range(first.size - 1):
        total = sums[one]
        for run in range(first[one], first[one + 1]):
            z = rows[run] // n_y - boxes[one, 0]
            y = rows[run] % n_y - boxes[one, 2]
            start = starts[run] - boxes[one, 4]
            stop = stops[run] - boxes[one, 4]
            n = stop - start
            sum_x = (start + stop - 1) * n // 2
            total[0] += n
            total[1] += z * n
            total[2] += y * n
            total[3] += sum_x
            total[4] += z * z * n
            total[5] += y * y * n
            total[6] += ((stop - 1) * stop * (2 * stop - 1) - (start - 1) * start * (2 * start - 1)) // 6
            total[7] += z * y * n
            total[8] += z * sum_x
            total[9] += y * sum_x
    return sums


@compiled
def object_shadows(
    n_y: int, first: Integers, rows: Indices, starts: Indices, stops: Indices, boxes: Integers
) -> Integers:
    """Number of pixels (n,) that each object covers seen along z."""
    counts = np.empty(first.size - 1, np.int64)
    largest = 0
    for one in range(first.size - 1):
        largest = max(largest, (boxes[one, 3] - boxes[one, 2]) * (boxes[one, 5] - boxes[one, 4]))
    seen = np.zeros(largest, np.uint8)
    for one in range(first.size - 1):
        width = boxes[one, 5] - boxes[one, 4]
        size = (boxes[one, 3] - boxes[one, 2]) * width
        seen[:size] = 0
        for run in range(first[one], first[one + 1]):
            line = (rows[run] % n_y - boxes[one, 2]) * width - boxes[one, 4]
            seen[line + starts[run] : line + stops[run]] = 1
        total = 0
        for pixel in range(size):
            total += seen[pixel]
        counts[one] = total
    return counts


@compiled
def runs_in_box(
    one: int, n_y: int, first: Integers, rows: Indices, starts: Indices, stops: Indices, box: Integers
) -> Runs:
    """The runs of one object by the rows of its box, as :func:`~tomocyte.measurements._kernels.row_runs` gives them."""
    n_rows = (box[1] - box[0]) * (box[3] - box[2])
    first_of_row = np.zeros(n_rows + 1, np.int64)
    low, high = first[one], first[one + 1]
    local_starts = np.empty(high - low, np.int64)
    local_stops = np.empty(high - low, np.int64)
    for run in range(low, high):
        row = (rows[run] // n_y - box[0]) * (box[3] - box[2]) + rows[run] % n_y - box[2]
        first_of_row[row + 1] += 1
        local_starts[run - low] = starts[run] - box[4]
        local_stops[run - low] = stops[run] - box[4]
    for row in range(n_rows):
        first_of_row[row + 1] += first_of_row[row]
    return first_of_row, local_starts, local_stops


@compiled
def _n_stretches(runs: Runs, of_rows: tuple[int, int, int, int], heads: Integers, ends: Integers) -> int:
    """Stretches of the union of the runs of some rows; those that touch are one. ``heads`` and ``ends`` are scratch."""
    first, starts, stops = runs
    n = 0
    most_runs = np.int64(0)
    latest, earliest = np.int64(-1), np.int64(2**62)
    for row in of_rows:
        if first[row + 1] > first[row]:
            heads[n], ends[n] = first[row], first[row + 1]
            most_runs = max(most_runs, ends[n] - heads[n])
            latest = max(latest, starts[heads[n]])
            earliest = min(earliest, stops[heads[n]])
            n += 1
    # Runs of one row never touch; one run in each of several rows, with a voxel's side in common, is the usual case.
    if n <= 1 or (most_runs == 1 and latest <= earliest):
        return int(most_runs)
    total = 0
    reached = np.int64(-1)
    while True:
        best = -1
        for row in range(n):
            if heads[row] < ends[row] and (best < 0 or starts[heads[row]] < starts[heads[best]]):
                best = row
        if best < 0:
            return total
        if total == 0 or starts[heads[best]] > reached:
            total += 1
            reached = stops[heads[best]]
        else:
            reached = max(reached, stops[heads[best]])
        heads[best] += 1


@compiled
def object_euler_numbers(
    n_y: int, first: Integers, rows: Indices, starts: Indices, stops: Indices, boxes: Integers
) -> Integers:
    """Vertices - edges + faces - cubes of each object's voxels as closed unit cubes.

    Along x they cancel but for one per stretch: vertices and edges on the lines between four rows, edges and faces
    between two, faces and cubes in one.
    """
    numbers = np.empty(first.size - 1, np.int64)
    heads = np.empty(4, np.int64)
    ends = np.empty(4, np.int64)
    # Every box has a margin of empty rows, among them row 0, which stands for no row.
    margin = np.array([-1, 1, -1, 1, 0, 0])
    for one in range(first.size - 1):
        box = boxes[one] + margin
        runs = runs_in_box(one, n_y, first, rows, starts, stops, box)
        size_y = box[3] - box[2]
        total = runs[1].size
        for row in range(size_y, (box[1] - box[0]) * size_y):
            # Four rows meet in a line: this one, those beside it along y and below it along z, and the one across.
            beside, below = row - 1, row - size_y
            if runs[0][row + 1] == runs[0][beside] and runs[0][below + 1] == runs[0][below - 1]:
                continue
            total += _n_stretches(runs, (row, beside, below, below - 1), heads, ends)
            total -= _n_stretches(runs, (row, beside, 0, 0), heads, ends)
            total -= _n_stretches(runs, (row, below, 0, 0), heads, ends)
        numbers[one] = total
    return numbers


@compiled
def object_crossings(
    n_y: int,
    first: Integers,
    rows: Indices,
    starts: Indices,
    stops: Indices,
    boxes: Integers,
    is_cut: NDArray[np.bool_],
    is_measured: NDArray[np.bool_],
    steps: Integers,
    weights: NDArray[np.float64],
    n_factors: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(n, factors) each: crossings of an object's surface along the steps, their double, …; 0 where not measured.

    The first are their sums by ``weights`` (steps,), the second the largest of any step. ``is_cut`` (n, 3, 2) says at
    which sides the volume ends, see :func:`~tomocyte.measurements._kernels.count_all_crossings`.
    """
    sums = np.zeros((first.size - 1, n_factors))
    largest = np.zeros((first.size - 1, n_factors))
    reach = n_factors * np.abs(steps[:, 2]).max()
    for one in range(first.size - 1):
        if not is_measured[one]:
            continue
        box = boxes[one]
        shape: Shape = (box[1] - box[0], box[3] - box[2], box[5] - box[4])
        runs = runs_in_box(one, n_y, first, rows, starts, stops, box)
        cut = is_cut[one]
        mirrored = mirror_runs(runs, shape[2], cut[2, 0], cut[2, 1], reach) if cut[2].any() else runs
        for factor in range(1, n_factors + 1):
            counts = count_all_crossings(shape, runs, mirrored, cut, factor * steps).astype(np.float64)
            if cut.any():
                # A pair that reaches beyond the border is seen from inside only, so both directions are counted there.
                counts += count_all_crossings(shape, runs, mirrored, cut, -factor * steps)
                counts /= 2
            sums[one, factor - 1] = (counts * weights).sum()
            largest[one, factor - 1] = counts.max()
    return sums, largest


@compiled
def object_mesh_areas(
    n_y: int,
    first: Integers,
    rows: Indices,
    starts: Indices,
    stops: Indices,
    boxes: Integers,
    is_cut: NDArray[np.bool_],
    areas: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Sum (n,) of the areas (256,) of the cases of marching cubes between each object's voxels.

    Nothing is added beyond a side where the volume ends, ``is_cut`` (n, 3, 2), so that the cut itself has no area.
    """
    totals = np.zeros(first.size - 1)
    for one in range(first.size - 1):
        box = boxes[one]
        shape = (box[1] - box[0] + 2, box[3] - box[2] + 2, box[5] - box[4] + 2)
        voxels = np.zeros(shape, np.uint8)
        for run in range(first[one], first[one + 1]):
            line = voxels[rows[run] // n_y - box[0] + 1, rows[run] % n_y - box[2] + 1]
            line[starts[run] - box[4] + 1 : stops[run] - box[4] + 1] = 1
        cut = is_cut[one].astype(np.int64)
        n_cases = np.zeros(256, np.int64)
        for z in range(cut[0, 0], shape[0] - 1 - cut[0, 1]):
            for y in range(cut[1, 0], shape[1] - 1 - cut[1, 1]):
                a, b, c, d = voxels[z, y], voxels[z, y + 1], voxels[z + 1, y], voxels[z + 1, y + 1]
                x = cut[2, 0]
                before = a[x] + 4 * b[x] + 16 * c[x] + 64 * d[x]
                for x in range(cut[2, 0], shape[2] - 1 - cut[2, 1]):
                    after = a[x + 1] + 4 * b[x + 1] + 16 * c[x + 1] + 64 * d[x + 1]
                    n_cases[before + 2 * after] += 1
                    before = after
        for case in range(256):
            totals[one] += n_cases[case] * areas[case]
    return totals


@compiled
def gather_values(
    lines: NDArray[Any],
    first_row: int,
    chosen: Integers,
    first: Integers,
    rows: Indices,
    starts: Indices,
    stops: Indices,
    next_run: Integers,
    places: Integers,
    values: NDArray[Any],
) -> None:
    """Copy the voxels of lines (n, X) of the image that belong to the ``chosen`` objects, which come bottom up.

    ``next_run`` and ``places``, one per chosen object, say where each object goes on, in the runs and in ``values``;
    they are moved on.
    """
    row_stop = first_row + lines.shape[0]
    for index in range(chosen.size):
        if rows[first[chosen[index]]] >= row_stop:
            break
        run = next_run[index]
        place = places[index]
        end = first[chosen[index] + 1]
        while run < end and rows[run] < row_stop:
            line = lines[rows[run] - first_row]
            # Indices without a sign need no look at whether they count from the end.
            start, there = np.uint64(starts[run]), np.uint64(place)
            n = np.uint64(stops[run]) - start
            for step in range(n):
                values[there + step] = line[start + step]
            place += np.int64(n)
            run += 1
        next_run[index] = run
        places[index] = place


@compiled
def summarise_values(values: NDArray[Any], bounds: Integers) -> tuple[Integers, NDArray[np.float64]]:
    """Number of finite values between each two bounds, and their mean and sum of squared deviations (n, 2).

    The finite values are moved to the front of their part.
    """
    counts = np.zeros(bounds.size - 1, np.int64)
    moments = np.empty((bounds.size - 1, 2))
    for one in range(bounds.size - 1):
        part = values[bounds[one] : bounds[one + 1]]
        total = _sum_of_powers(part, 0.0, 1)
        if not np.isfinite(total):
            part = _finite_first(part)
            total = _sum_of_powers(part, 0.0, 1)
        n = part.size
        mean = total / n if n > 0 else np.nan
        counts[one] = n
        moments[one, 0] = mean
        moments[one, 1] = _sum_of_powers(part, mean, 2) if n > 0 else np.nan
    return counts, moments


@compiled
def _finite_first(values: NDArray[Any]) -> NDArray[Any]:
    """The finite values, moved to the front."""
    n = 0
    for value in values:
        if np.isfinite(value):
            values[n] = value
            n += 1
    return values[:n]


@compiled
def _sum_of_powers(values: NDArray[Any], centre: float, power: int) -> float:
    """Sum of (value - centre), or of its square, in float64; eight sums side by side are fast, and round less."""
    sums = np.zeros(8)
    n_strides = values.size // 8
    if power == 1:
        for stride in range(n_strides):
            for lane in range(8):
                sums[lane] += values[8 * stride + lane] - centre
        for index in range(8 * n_strides, values.size):
            sums[0] += values[index] - centre
    else:
        for stride in range(n_strides):
            for lane in range(8):
                apart = values[8 * stride + lane] - centre
                sums[lane] += apart * apart
        for index in range(8 * n_strides, values.size):
            sums[0] += (values[index] - centre) ** 2
    total: float = sums.sum()
    return total


@compiled
def order_statistics(values: NDArray[Any], begins: Integers, counts: Integers, ranks: Integers) -> NDArray[np.float64]:
    """(n, ranks): the values that would stand at ``ranks`` (n, ranks) if each part were sorted; parts change order.

    A part begins at ``begins`` and holds ``counts`` finite values. Long parts are not sorted: their values are counted
    in classes of equal width, and only those in the classes of the ranks are looked at again.
    """
    found = np.full(ranks.shape, np.nan)
    for one in range(begins.size):
        part = values[begins[one] : begins[one] + counts[one]]
        places = ranks[one].copy()
        n_before = 0
        while part.size > FEW and part.size != n_before:
            n_before = part.size
            part = _near_ranks(part, places)
        if part.size > 0:
            _sort(part)
            for index in range(places.size):
                found[one, index] = part[places[index]]
    return found


@compiled
def _near_ranks(values: NDArray[Any], ranks: Integers) -> NDArray[Any]:
    """The values in the classes that hold the ranks, and the ranks, changed in place, among these."""
    low, high = _range(values)
    lowest = np.float64(low)
    n_classes = min(MOST_CLASSES, values.size)
    scale = (n_classes - 0.5) / (np.float64(high) - lowest) if low < high else 0.0
    if low < high and not 0.0 < scale < np.inf:
        return values
    classes = np.empty(values.size, np.uint16)
    for index in range(values.size):
        classes[index] = np.uint16(np.int32((values[index] - lowest) * scale))
    counts = np.zeros(n_classes, np.int64)
    for one in classes:
        counts[one] += 1
    reached = np.cumsum(counts)
    is_wanted = np.zeros(n_classes, np.bool_)
    for rank in ranks:
        is_wanted[np.searchsorted(reached, rank, side="right")] = True
    left_out = np.cumsum(np.where(is_wanted, 0, counts))
    for index in range(ranks.size):
        ranks[index] -= left_out[np.searchsorted(reached, ranks[index], side="right")]
    members = np.empty((counts * is_wanted).sum() + 1, values.dtype)
    n = 0
    for index in range(values.size):
        members[n] = values[index]
        n += is_wanted[classes[index]]
    return members[:-1]


@compiled
def _range(values: NDArray[Any]) -> tuple[float, float]:
    """Lowest and highest value."""
    lows = np.full(8, values[0])
    highs = lows.copy()
    n_strides = values.size // 8
    for stride in range(n_strides):
        for lane in range(8):
            value = values[8 * stride + lane]
            lows[lane] = value if value < lows[lane] else lows[lane]
            highs[lane] = value if value > highs[lane] else highs[lane]
    for value in values[8 * n_strides :]:
        lows[0] = min(lows[0], value)
        highs[0] = max(highs[0], value)
    return lows.min(), highs.max()


@compiled
def _sort(values: NDArray[Any]) -> None:
    if values.size > FEW:
        values.sort()
        return
    for index in range(1, values.size):
        value = values[index]
        place = index
        while place > 0 and values[place - 1] > value:
            values[place] = values[place - 1]
            place -= 1
        values[place] = value
