"""Node bodies: (state, runtime) -> the keys they change."""
