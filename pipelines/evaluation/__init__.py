"""Generated videos beside what drove them: listing and matching, metrics on workers, scores of sets and systems."""
