# Files of tests/interop.
