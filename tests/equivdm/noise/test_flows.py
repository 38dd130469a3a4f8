"""The kernels of the step, one by one, against what they say they do."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equivdm.compiled import constant
from equivdm.noise.births import enter
from equivdm.noise.blocks import find_bare, find_thin, inside, leave, tidy
from equivdm.noise.checks import is_wild, known
from equivdm.noise.flows import NO_FLOW, NO_MASK, UNKNOWN_PX, move, overtaken
from equivdm.noise.lattice import PIXEL, Lattice
from equivdm.noise.particles import COLUMNS
from equivdm.noise.table import BLOCK, GONE, SITE, TRACK, U, V, X, Y


def flow_of(values: np.ndarray) -> np.ndarray:
    return constant(values.astype(np.float32))


def table_at(x: list[float], y: list[float]) -> np.ndarray:
    """A table of particles at these places, px; sites number them."""
    table = np.zeros((COLUMNS, len(x)), np.int32)
    table[X], table[Y] = np.array(x) * PIXEL, np.array(y) * PIXEL
    table[SITE] = np.arange(len(x))
    return table


def moved(x: float, y: float, flow: np.ndarray) -> tuple[float, float]:
    """The displacement of one particle in a flow, px."""
    table = table_at([x], [y])
    blocks = (flow.shape[0], flow.shape[1])
    counts = np.zeros(flow.shape[0] * flow.shape[1], np.int32)
    assert move(table, (0, 1), flow_of(flow), NO_FLOW, NO_MASK, blocks, counts) == 0
    return table[U, 0] / PIXEL, table[V, 0] / PIXEL


def test_halves_round_to_even() -> None:
    values = np.array([0.5, 1.5, -0.5, 2.5]) / PIXEL
    assert [moved(0.5, 0.5, np.array([[[value, value]]]))[0] * PIXEL for value in values] == [0, 2, 0, 2]


@pytest.mark.parametrize("wild", [np.nan, np.inf, -np.inf, 4.5, -4.5])
@pytest.mark.parametrize("place", [(0, 1, 0), (2, 3, 0)])
def test_a_component_that_is_not_finite_or_leaves_the_frame_is_wild(wild: float, place: tuple[int, int, int]) -> None:
    flow = np.zeros((3, 4, 2), np.float32)
    flow[0, 0], flow[2, 2] = (4, 3), (-4, -3)  # as long as the frame
    assert not is_wild(constant(flow), (3, 4))
    flow[place] = wild
    assert is_wild(constant(flow), (3, 4))


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
def test_a_wild_vector_is_found_by_any_number_of_threads(threads: int) -> None:
    flow = np.zeros((2, 3, 4, 2), np.float32)
    flow[1, 2, 3, 1] = np.nan
    fields = {"forward": constant(np.zeros_like(flow)), "backward": constant(flow)}
    for step, wild in enumerate((0, 1)):
        here, back = known(fields, step, "fresh", threads)
        assert (here.any(), (back == UNKNOWN_PX).sum()) == (False, 2 * wild)
    with pytest.raises(ValueError, match=r"backward: got nan at \(step, y, x, axis\) \(1, 2, 3, 1\)"):
        known(fields, 1, "refuse", threads)


def test_each_axis_has_its_own_limit() -> None:
    flow = np.zeros((3, 4, 2), np.float32)
    flow[1, 2, 1] = 3.5
    assert is_wild(constant(flow), (3, 4))


@settings(max_examples=40, derandomize=True)
@given(x=st.floats(0, 7.99), y=st.floats(0, 5.99), seed=st.integers(0, 99))
def test_within_one_motion_the_flow_is_interpolated(x: float, y: float, seed: int) -> None:
    """Against the textbook's formula in float64; weights have 14 bits."""
    flow = np.random.default_rng(seed).uniform(-0.3, 0.3, (6, 8, 2))
    gx, gy = np.clip(x - 0.5, 0, 7), np.clip(y - 0.5, 0, 5)
    x0, y0 = min(int(gx), 6), min(int(gy), 4)
    a, b = gx - x0, gy - y0
    wanted = (1 - b) * ((1 - a) * flow[y0, x0] + a * flow[y0, x0 + 1])
    wanted += b * ((1 - a) * flow[y0 + 1, x0] + a * flow[y0 + 1, x0 + 1])
    if 0 <= x + wanted[0] < 7.99 and 0 <= y + wanted[1] < 5.99:
        assert moved(x, y, flow) == pytest.approx(wanted.tolist(), abs=2e-4)


def test_at_the_edge_of_two_motions_neither_is_blended() -> None:
    flow = np.zeros((4, 8, 2))
    flow[:, 4:, 0] = 2.0
    assert moved(3.9, 2.0, flow) == (0.0, 0.0)
    assert moved(4.1, 2.0, flow) == (2.0, 0.0)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 2), (5, 9)])
def test_the_nearest_of_the_last_rows_and_columns_is_found(size: tuple[int, int]) -> None:
    flow = np.zeros((*size, 2))
    flow[-1, -1] = (-0.75, -0.75)  # another motion than its neighbours'
    assert moved(size[1] - 0.01, size[0] - 0.01, flow) == (-0.75, -0.75)
    assert moved(size[1] - 0.2, size[0] - 0.2, flow) == (-0.75, -0.75)


def test_what_leaves_or_is_masked_or_unknown_or_hidden_is_lost() -> None:
    flow = np.broadcast_to(np.array([2.0, 0.0]), (4, 8, 2)).copy()
    flow[0, 2] = UNKNOWN_PX
    backward = -flow
    backward[0, 2] = 0
    backward[2, 6] = (-0.5, 0)  # another motion is seen there
    mask = np.zeros((4, 8), bool)
    mask[1, 1] = True
    #        masked        leaves     hidden     unknown    kept
    table = table_at([1.5, 7.0, 4.5, 2.5, 0.5], [1.5, 1.5, 2.5, 0.5, 3.5])
    counts = np.zeros(2 * 4, np.int32)
    assert move(table, (0, 5), flow_of(flow), flow_of(backward), constant(mask), (2, 4), counts) == 4
    assert table[BLOCK].tolist() == [GONE, GONE, GONE, GONE, 5]
    assert (table[SITE, 4], table[X, 4]) == (4, 2.5 * PIXEL)
    assert counts.tolist() == [0, 0, 0, 0, 0, 1, 0, 0]


def test_what_is_lost_stays_so_wherever_the_flow_would_take_it() -> None:
    flow, counts = flow_of(np.broadcast_to(np.array([6.0, 0.0]), (4, 8, 2))), np.zeros(8, np.int32)
    hide_all = constant(np.ones((4, 8), np.bool_))
    table = table_at([0.5, 3.5], [1.5, 1.5])
    for step in (flow, flow_of(-flow), flow_of(-flow), flow):
        gone = move(table, (0, 2), step, flow_of(-step), NO_MASK, (2, 4), counts)
    assert (gone, table[BLOCK].tolist()) == (2, [GONE, GONE])
    assert move(table, (0, 2), flow, NO_FLOW, hide_all, (2, 4), counts) == 2


def test_parts_of_a_table_move_as_the_whole() -> None:
    generator = np.random.default_rng(0)
    flow = flow_of(generator.normal(size=(20, 30, 2)))
    whole = table_at(generator.uniform(0, 30, 5000).tolist(), generator.uniform(0, 20, 5000).tolist())
    parts, counts = whole.copy(), np.zeros((2, 6), np.int32)
    gone = move(whole, (0, 5000), flow, flow_of(-flow), NO_MASK, (2, 3), counts[0])
    assert (
        0
        < gone
        == sum(
            move(parts, part, flow, flow_of(-flow), NO_MASK, (2, 3), counts[1]) for part in ((0, 1500), (1500, 5000))
        )
    )
    np.testing.assert_array_equal(parts, whole)
    np.testing.assert_array_equal(counts[0], counts[1])


@settings(max_examples=30, derandomize=True)
@given(height=st.integers(1, 500), width=st.integers(1, 500), rows=st.integers(1, 64), columns=st.integers(1, 64))
def test_places_are_exact(height: int, width: int, rows: int, columns: int) -> None:
    """Integer division in Python's whole numbers, at the borders of blocks and one step before them."""
    borders_x = [-(-column * width * PIXEL // columns) for column in range(1, columns)]
    borders_y = [-(-row * height * PIXEL // rows) for row in range(1, rows)]
    x = np.array([0, width * PIXEL - 1, *(b + d for b in borders_x for d in (-1, 0))], np.int32)
    y = np.array([0, height * PIXEL - 1, *(b + d for b in borders_y for d in (-1, 0))], np.int32)
    both_x, both_y = (each.ravel() for each in np.meshgrid(x, y))
    wanted = [
        int(b) * rows // (height * PIXEL) * columns + int(a) * columns // (width * PIXEL)
        for a, b in zip(both_x, both_y, strict=True)
    ]
    table, counts = np.zeros((COLUMNS, len(wanted)), np.int32), np.zeros(rows * columns, np.int32)
    table[X], table[Y] = both_x, both_y
    enter(table, (0, len(wanted)), (height, width), (rows, columns), counts)
    assert table[BLOCK].tolist() == wanted
    np.testing.assert_array_equal(counts, np.bincount(wanted, minlength=rows * columns))
    still = flow_of(np.zeros((height, width, 2)))
    table[BLOCK] = 0
    assert move(table, (0, len(wanted)), still, NO_FLOW, NO_MASK, (rows, columns), counts) == 0
    assert table[BLOCK].tolist() == wanted


def test_new_particles_have_not_moved_and_are_in_no_plan() -> None:
    table, counts = np.full((COLUMNS, 4), 7, np.int32), np.zeros(1, np.int32)
    enter(table, (1, 3), (4, 8), (1, 1), counts)
    assert table[[U, V, BLOCK, TRACK]].T.tolist() == [[7, 7, 7, 7], [0, 0, 0, -1], [0, 0, 0, -1], [7, 7, 7, 7]]
    assert counts.tolist() == [2]


def test_tidying_keeps_order() -> None:
    table = table_at([0.5] * 6, [0.5] * 6)
    table[BLOCK] = [0, 1, 1, 0, 2, 1]
    counts = np.array([2, 3, 1], np.int32)
    leave(table, np.array([4, 1], np.int32), counts)
    assert counts.tolist() == [2, 2, 0]
    assert tidy(table, 6) == 4
    assert table[SITE, :4].tolist() == [0, 2, 3, 5]
    assert table[BLOCK, :4].tolist() == [0, 1, 0, 1]
    assert tidy(table, 4) == 4


@pytest.mark.parametrize(
    ("blocks", "splits", "filled"),
    [
        ([4, 4, 4, 4], False, []),  # as it began
        ([2, 2, 2, 2], False, []),  # half of it is left: enough
        ([2, 2, 2, 1], True, []),  # thin all over
        ([3, 0, 3, 1], True, []),  # by chance one block is empty
        ([4, 1, 1, 1], False, []),  # one block is as full as ever: its neighbours are being uncovered
        ([3, 0, 3, 0], False, []),  # bare on one side, and still enough particles
        ([2, 0, 1, 0], False, [1, 3]),  # bare on one side, and starved
        ([0, 0, 0, 0], False, [0, 1, 2, 3]),
    ],
)
def test_what_a_cell_of_four_by_four_needs(blocks: list[int], splits: bool, filled: list[int]) -> None:
    counts, held, (split, bare) = np.array(blocks, np.int32), np.empty(1, np.int32), np.empty((2, 4), np.bool_)
    assert find_thin(counts, (1, 1), 2, 4, (held, split)) == splits
    assert (held[0], split.tolist()) == (sum(blocks), [splits] * 4)
    assert find_bare(counts, (1, 1), 2, 4, split, bare) == len(filled)
    assert np.flatnonzero(bare).tolist() == filled


def test_a_cell_of_one_block_is_filled_only() -> None:
    held, (split, bare) = np.empty(2, np.int32), np.empty((2, 2), np.bool_)
    counts = np.array([0, 1], np.int32)
    assert find_thin(counts, (1, 2), 1, 3, (held, split)) == 0
    assert find_bare(counts, (1, 2), 1, 4, split, bare) == 1
    assert (held.tolist(), split.tolist(), bare.tolist()) == ([0, 1], [False, False], [True, False])


def test_forward_flow_alone_hides_the_ground_under_an_object_and_nothing_else() -> None:
    """Three of the object stay as they came; the two of the ground that they ran over would start to move."""
    following = flow_of(np.broadcast_to(np.array([3.0, 0.0]), (4, 8, 2)))
    table, crowd = table_at([4.5] * 5, [2.5] * 5), np.arange(5, dtype=np.int32)
    table[U] = np.array([3, 3, 3, 0, 0]) * PIXEL
    assert overtaken(table, crowd, following, 1, 3).tolist() == [3, 4]
    assert overtaken(table, crowd, following, 1, 6).tolist() == [3, 4]  # half the nominal number is enough
    assert not len(overtaken(table, crowd, following, 1, 7))
    table[U] = -3 * PIXEL
    assert not len(overtaken(table, crowd, following, 1, 3))  # all turn at once


def test_those_in_marked_blocks_are_found() -> None:
    table = table_at([0.5] * 7, [0.5] * 7)
    table[BLOCK] = [2, 0, GONE, 1, 2, GONE, 0]
    counts = np.array([2, 1, 2], np.int32)
    assert inside(table, 7, np.array([True, False, True]), counts).tolist() == [0, 1, 4, 6]
    assert inside(table, 4, np.array([False, False, True]), counts).tolist() == [0]
    assert not len(inside(table, 7, np.zeros(3, np.bool_), counts))


@pytest.mark.parametrize("block", [[], [1], [GONE], [0, 1, 1, GONE, 1, 0, GONE]])
def test_what_lands_is_counted_and_so_is_what_is_gone(block: list[int]) -> None:
    table, counts = table_at([0.5 + 4 * max(b, 0) for b in block], [0.5] * len(block)), np.array([10, 20], np.int32)
    table[BLOCK] = block
    gone = move(table, (0, len(block)), flow_of(np.zeros((4, 8, 2))), NO_FLOW, NO_MASK, (1, 2), counts)
    assert (gone, counts.tolist()) == (block.count(GONE), [10 + block.count(0), 20 + block.count(1)])


def test_a_lattice_tells_blocks_cells_and_sites() -> None:
    lattice = Lattice((48, 64), (3, 4), 4)
    assert (lattice.blocks, lattice.sites, lattice.per_block) == ((6, 8), (12, 16), 2)
    cells = lattice.cell_of.reshape(lattice.blocks)
    assert cells[0].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert cells[:, 0].tolist() == [0, 0, 4, 4, 8, 8]
    sites = lattice.sites_of(np.array([9]))  # the second row of blocks, the second column
    assert sites.tolist() == [2 * 16 + 2, 2 * 16 + 3, 3 * 16 + 2, 3 * 16 + 3]
    assert Lattice((48, 64), (3, 4), 3).blocks == (3, 4)
