# Files of src/store.
