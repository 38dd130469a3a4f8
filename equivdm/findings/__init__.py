"""What experiments found: means with intervals, verdicts on claims, and a page of them. Neither torch nor a cluster."""
