"""The SQS bridge: messages in, settled messages out."""
