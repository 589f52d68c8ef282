# Files of src/comityd.
