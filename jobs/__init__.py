"""The command `equivdm` and the job specs."""
