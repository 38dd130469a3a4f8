"""Where the workers of a training meet."""

from pipelines.backend import interface_of


def test_gloo_is_told_the_interface_of_the_nodes_address() -> None:
    assert interface_of("127.0.0.1") in ("lo", "lo0")
    assert interface_of("203.0.113.7") is None  # of the range for examples: nobody's
