"""Examples of reading, made by rules from manuals that Debian packages bring."""
