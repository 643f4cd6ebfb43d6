"""A whole service under kill -9: who is killed, in which phase of a run, and what must hold after."""
