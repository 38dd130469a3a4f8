"""A population of particles: what holds after every step, whatever the flow."""

import numpy as np
import pytest

from equivdm.noise.compiled import constant
from equivdm.noise.lattice import PIXEL, Lattice
from equivdm.noise.particles import Particles, jitter
from equivdm.noise.table import BIRTH, BLOCK, PATH, SITE, TRACK, U, V, X, Y
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
def test_every_site_begins_with_a_particle_within_it(per_cell: int) -> None:
    particles = population(per_cell)
    rows, columns = particles.lattice.sites
    assert particles.number == rows * columns
    row, column = np.divmod(particles[SITE], columns)
    np.testing.assert_array_equal(particles[X].astype(np.int64) * columns // (SIZE[1] * PIXEL), column)
    np.testing.assert_array_equal(particles[Y].astype(np.int64) * rows // (SIZE[0] * PIXEL), row)
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


def test_a_cell_whose_children_all_lie_next_door_is_filled() -> None:
    """Three particles at its border, whose sites have their middles beyond it: one cell in millions."""
    particles, cell, side = population(), 27, 8
    row, column = divmod(cell, GRID[1])
    sites = np.arange(particles.number, dtype=np.int32)
    right, down = jitter(sites, np.zeros_like(sites))
    off = 230  # of 255: its site's middle lies so far left, or up, of it
    chosen = [sites[right > off][0], sites[right < -off][0], sites[(right > off) & (down > 0)][1]]
    corner = np.array([column, row]) * side
    places = corner + np.array([(0.1, 0.1), (7.9, 0.1), (0.1, 7.9)])
    keep = (particles.lattice.cell_of[particles[BLOCK]] != cell) & ~np.isin(particles[SITE], chosen)
    rows = {name: particles[name][keep] for name in (X, Y, U, V, BIRTH, SITE, PATH)}
    three = {
        X: places[:, 0] * PIXEL,
        Y: places[:, 1] * PIXEL,
        U: [0] * 3,
        V: [0] * 3,
        BIRTH: [0] * 3,
        SITE: chosen,
        PATH: [1] * 3,
    }
    particles.load({name: np.concatenate([rows[name], np.array(three[name], np.int32)]) for name in rows})
    particles.settle(1)
    inside = particles.lattice.cell_of[particles[BLOCK]] == cell
    assert not (inside & np.isin(particles[SITE], chosen) & (particles[PATH] > 1)).any()
    assert set(particles[BIRTH][inside]) == {1}
    assert inside.sum() == 16


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
    assert after[1:-1, 1:-1].sum() == pytest.approx(before[1:-1, 1:-1].sum(), rel=0.02)
    assert np.abs(after - before)[1:-1, 1:-1].max() < 4


def test_children_lie_about_the_middle_of_the_site_that_they_share() -> None:
    """Not about the jittered place of their parent, which may be half a site off."""
    particles, zoom = population(), 1.5
    particles.advance(affine_flow(SIZE, 1, turn(SIZE, zoom=zoom))[0], None, None)
    particles.settle(1)
    children = np.flatnonzero(particles[PATH] > 1)
    families = children[np.argsort(particles[SITE][children], kind="stable")].reshape(-1, 4)
    sites = np.divmod(particles[SITE][families[:, 0]], particles.lattice.sites[1])
    side = SIZE[0] / particles.lattice.sites[0]
    for row, site, pixels in zip((Y, X), sites, SIZE, strict=True):
        middle = pixels / 2 + zoom * ((site + 0.5) * side - pixels / 2)
        inside = (middle > zoom * side) & (middle < pixels - zoom * side)  # the border has moved no child
        off = np.abs(particles[row][families].mean(axis=1) / PIXEL - middle)[inside] / (zoom * side)
        assert off.max() < 0.2
        assert off.mean() < 0.05


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
