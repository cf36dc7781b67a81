"""Files, stores, documents, jobs and events in SQL, by SQLAlchemy."""
