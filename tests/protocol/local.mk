# Files of tests/protocol.
