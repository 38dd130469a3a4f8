"""Combined seeds: stable, and apart."""

from equivdm.seeds import derive_seed


def test_a_seed_is_the_same_on_every_machine() -> None:
    """This number is in the keys of stored rows and in every draw: it must not change."""
    assert derive_seed(7, "noise", "key") == 718449130115180723


def test_value_type_place_and_number_of_parts_all_count() -> None:
    seeds = [
        derive_seed(),
        derive_seed(1),
        derive_seed("1"),
        derive_seed(1, 2),
        derive_seed(2, 1),
        derive_seed("1", 2),
        derive_seed("12"),
        derive_seed("a", "b"),
        derive_seed("ab"),
        derive_seed(-1),
    ]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 1 << 63 for seed in seeds)


def test_a_thousand_neighbours_spread_over_the_whole_range() -> None:
    highest = [derive_seed("epoch", number) >> 60 for number in range(1000)]
    assert all(90 <= highest.count(part) <= 160 for part in range(8))
