"""What ingestion does: keeps uploads, works on documents, tells the log, keeps house."""
