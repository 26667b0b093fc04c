"""Results to Redis and S3."""
