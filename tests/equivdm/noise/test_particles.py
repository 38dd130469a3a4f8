"""A population of particles: what holds after every step, whatever the flow."""

import numpy as np
import pytest

from equivdm.compiled import constant
from equivdm.noise.lattice import PIXEL, Lattice
from equivdm.noise.particles import Particles
from equivdm.noise.table import BIRTH, BLOCK, PATH, SHIFT, SITE, TRACK, X, Y
from tests.equivdm.noise.motions import affine_flow, smooth_flow, turn

SIZE, GRID = (48, 64), (6, 8)


def population(per_cell: int = 4) -> Particles:
    particles = Particles.none(Lattice(SIZE, GRID, per_cell))
    particles.restart(0)
    return particles


def labels(particles: Particles) -> set[tuple[int, int, int]]:
    return set(zip(*(particles[row].tolist() for row in (BIRTH, SITE, PATH)), strict=True))


def material(particles: Particles) -> np.ndarray:
    """What each cell holds, in roots: a particle of depth d is 1 / 4^d of one."""
    weights = 4.0 ** -((np.frexp(particles[PATH])[1] - 1) // 2)
    return np.bincount(particles.lattice.cell_of[particles[BLOCK]], weights, minlength=GRID[0] * GRID[1])


@pytest.mark.parametrize("per_cell", [1, 2, 3, 4, 5, 8])
def test_every_site_begins_with_a_particle_in_its_middle(per_cell: int) -> None:
    particles = population(per_cell)
    rows, columns = particles.lattice.sites
    assert particles.number == rows * columns
    row, column = np.divmod(particles[SITE], columns)
    np.testing.assert_array_equal(particles[X], (2 * column.astype(np.int64) + 1) * SIZE[1] * PIXEL // (2 * columns))
    np.testing.assert_array_equal(particles[Y], (2 * row.astype(np.int64) + 1) * SIZE[0] * PIXEL // (2 * rows))
    assert set(particles.counts.tolist()) == {particles.lattice.per_block**2}


@pytest.mark.parametrize("per_cell", [1, 2, 4, 8])
def test_counts_places_and_labels_stay_true(per_cell: int) -> None:
    particles = population(per_cell)
    for frame, flow in enumerate(smooth_flow(SIZE, 12, seed=1, strength=6), start=1):
        particles.advance(constant(flow), constant(-flow), None)
        particles.settle(frame)
        np.testing.assert_array_equal(particles.counts, np.bincount(particles[BLOCK], minlength=len(particles.counts)))
        assert len(labels(particles)) == particles.number
        assert particles[X].min() >= 0
        assert particles[X].max() < SIZE[1] * PIXEL
        assert np.bincount(particles.lattice.cell_of[particles[BLOCK]], minlength=GRID[0] * GRID[1]).min() >= 1
        assert particles[BIRTH].max() <= frame


def test_the_order_of_the_table_decides_nothing() -> None:
    flows = affine_flow(SIZE, 8, turn(SIZE, degrees=5, zoom=1.15))
    first, other = population(), population()
    generator = np.random.default_rng(0)
    for frame, flow in enumerate(flows, start=1):
        shuffled = generator.permutation(other.number)
        other[X]  # tidy
        other.table[:, : other.number] = other.table[:, shuffled]
        for particles in (first, other):
            particles.cull(constant(flow))
            particles.advance(constant(flow), None, None)
            particles.settle(frame)
        assert labels(first) == labels(other)
        np.testing.assert_array_equal(first.counts, other.counts)


def test_a_split_keeps_the_material_of_its_neighbourhood() -> None:
    """Children may cross into the next cell, so single cells change a little, and the middle of the frame hardly."""
    particles = population()
    flow = affine_flow(SIZE, 1, turn(SIZE, zoom=1.45))[0]
    particles.advance(constant(flow), None, None)
    before, number = material(particles).reshape(GRID), particles.number
    particles.settle(1)
    assert particles.number > 1.5 * number
    assert particles[PATH].max() == 7
    after = material(particles).reshape(GRID)
    assert after[1:-1, 1:-1].sum() == pytest.approx(before[1:-1, 1:-1].sum(), rel=0.03)
    assert np.abs(after - before)[1:-1, 1:-1].max() < 4


def test_children_lie_about_their_parent_s_place_and_share_its_shift() -> None:
    particles = population()
    particles.advance(affine_flow(SIZE, 1, turn(SIZE, zoom=1.5))[0], None, None)
    place = {site: at for site, *at in zip(*(particles[row].tolist() for row in (SITE, X, Y, SHIFT)), strict=True)}
    particles.settle(1)
    children = np.flatnonzero(particles[PATH] > 1)
    families = children[np.argsort(particles[SITE][children], kind="stable")].reshape(-1, 4)
    assert len(families) > 100
    for row, size, parent in zip((X, Y), SIZE[::-1], range(2), strict=True):
        at = particles[row][families]
        was = np.array([place[site][parent] for site in particles[SITE][families[:, 0]]])
        inside = (at.min(axis=1) > 0) & (at.max(axis=1) < size * PIXEL - 1)  # the border has moved no child
        np.testing.assert_array_equal(at.sum(axis=1)[inside], 4 * was[inside])
    shifts = [place[site][2] for site in particles[SITE][families[:, 0]]]
    np.testing.assert_array_equal(particles[SHIFT][families], np.repeat(np.array(shifts)[:, None], 4, axis=1))


def test_a_line_of_splits_ends_at_the_deepest() -> None:
    particles = population()
    flow = constant(affine_flow(SIZE, 1, turn(SIZE, zoom=1.5))[0])
    for frame in range(1, 30):
        particles.advance(flow, None, None)
        particles.settle(frame)
        assert particles[PATH].max() < 2 << 12
        assert particles.number < 8 * GRID[0] * GRID[1] * 16
    assert particles[PATH].max() >= 1 << 12


def test_loading_the_columns_makes_the_same_population() -> None:
    particles = population()
    flow = smooth_flow(SIZE, 1, seed=2)[0]
    particles.advance(constant(flow), None, None)
    particles.settle(1)
    again = Particles.none(particles.lattice)
    again.load({row: particles[row].copy() for row in range(TRACK)})
    np.testing.assert_array_equal(again.table[:TRACK, : again.number], particles.table[:TRACK, : particles.number])
    np.testing.assert_array_equal(again.counts, particles.counts)
    assert set(again[TRACK].tolist()) == {-1}


def test_a_full_table_grows() -> None:
    particles = population()
    room = particles.table.shape[1]
    for frame in range(1, 4):
        particles.add_born(np.arange(GRID[0] * GRID[1] * 16, dtype=np.int32), frame)
    assert particles.number == 4 * GRID[0] * GRID[1] * 16 > room
    assert len(labels(particles)) == particles.number
