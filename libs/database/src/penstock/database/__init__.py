"""One way to open and migrate databases, on SQLite and PostgreSQL; what is in them is the services'."""
