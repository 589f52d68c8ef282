# Files of src/stream.
