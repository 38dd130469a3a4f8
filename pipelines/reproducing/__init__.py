"""Experiments on Ray: what their items are, what a worker does of them, and the page of what they found."""
