# Files of src/xml.
