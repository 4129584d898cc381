"""Random small programs from the rules table: one source text, evaluated by everything that can run it."""
