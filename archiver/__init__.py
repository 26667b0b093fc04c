"""The archiver: closed stretches of the log to Parquet, and room in Redis."""
