# Files of src/comityctl.
