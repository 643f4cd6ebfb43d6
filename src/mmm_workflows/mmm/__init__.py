"""The language of marketing mix modeling: pure values and functions, no network, no process."""
