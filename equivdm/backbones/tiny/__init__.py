"""The embedded backbone, so that every job runs on a laptop in minutes; nothing in it is from the paper."""
