# Files of src/net.
