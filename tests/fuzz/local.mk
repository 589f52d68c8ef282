# Files of tests/fuzz.
