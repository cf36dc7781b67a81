"""Files and vector stores: uploads are parsed, chunked, embedded and published."""
